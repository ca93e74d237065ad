import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmjoint.hooks import FixedLRHook

EPOCHS, LENGTH = 4, 2


class TwoParts(BaseModel):
    """An encoder and a predictor of one weight each; notes their learning rates."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(1, 1, bias=False)
        self.predictor = nn.Linear(1, 1, bias=False)
        self.rates = []

    def forward(self, inputs: torch.Tensor, mode: str = 'loss') -> dict:
        return dict(loss=self.predictor(self.encoder(inputs)).sum())

    def train_step(self, data: dict, optim_wrapper: object) -> dict:
        self.rates.append([group['lr'] for group in optim_wrapper.param_groups])
        return super().train_step(data, optim_wrapper)


def train(
    work_dir: Path,
    epochs: int = EPOCHS,
    marked: str = 'predictor',
    schedule: bool = True,
    resume: bool = False,
    base_batch_size: int = 1,
) -> np.ndarray:
    model = TwoParts()
    Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=1,
            dataset=torch.ones(LENGTH, 1),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=lambda batch: dict(inputs=torch.stack(batch)),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.8),
            paramwise_cfg=dict(custom_keys={marked: dict(fix_lr=True)}),
        ),
        param_scheduler=dict(type='CosineAnnealingLR', T_max=EPOCHS, end=EPOCHS)
        if schedule
        else None,
        auto_scale_lr=dict(enable=True, base_batch_size=base_batch_size),
        custom_hooks=[dict(type='FixedLRHook')],
        experiment_name=f'{work_dir}{epochs}{base_batch_size}',
        resume=resume,
    ).train()
    return np.array(model.rates)


def cosine(peak: float) -> list[float]:
    epochs = [i // LENGTH for i in range(EPOCHS * LENGTH)]
    return [peak * (1 + math.cos(math.pi * epoch / EPOCHS)) / 2 for epoch in epochs]


def test_holds_the_marked_rate_alone(tmp_path: Path) -> None:
    rates = train(tmp_path)
    np.testing.assert_allclose(rates[:, 0], cosine(0.8))
    np.testing.assert_array_equal(rates[:, 1], 0.8)


def test_follows_auto_scale_lr(tmp_path: Path) -> None:
    rates = train(tmp_path, base_batch_size=4)
    np.testing.assert_allclose(rates[:, 0], cosine(0.2))
    np.testing.assert_array_equal(rates[:, 1], 0.2)


def test_resumed(tmp_path: Path) -> None:
    train(tmp_path, epochs=2)
    rates = train(tmp_path, resume=True)
    np.testing.assert_allclose(rates[:, 0], cosine(0.8)[2 * LENGTH :])
    np.testing.assert_array_equal(rates[:, 1], 0.8)


def test_without_a_schedule(tmp_path: Path) -> None:
    np.testing.assert_array_equal(train(tmp_path, schedule=False), 0.8)


def test_nothing_marked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='FixedLRHook: no parameter is marked with fix_lr'):
        train(tmp_path, marked='predicter')
    assert FixedLRHook.priority == 'HIGH'
