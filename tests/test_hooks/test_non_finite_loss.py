from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmjoint.hooks import NonFiniteLossHook


class Failing(BaseModel):
    """A model whose loss is `value` from iteration 5 on."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.value = value
        self.iteration = 0

    def forward(self, inputs: torch.Tensor, mode: str = 'loss') -> dict:
        self.iteration += 1
        factor = self.value if self.iteration >= 5 else 1.0
        return dict(loss_a=self.weight.sum(), loss_b=self.weight.sum() * factor)


def train(work_dir: Path, value: float, interval: int = 1) -> None:
    Runner(
        model=Failing(value),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=1,
            dataset=torch.zeros(8, 1),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=lambda batch: dict(inputs=torch.stack(batch)),
        ),
        train_cfg=dict(by_epoch=False, max_iters=8),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False)),
        custom_hooks=[dict(type='NonFiniteLossHook', interval=interval)],
        experiment_name=str(work_dir),
    ).train()


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_stops_before_the_checkpoint(value: float, tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match=f'iteration 5 .*: loss {value}, loss_b {value};'):
        train(tmp_path, value)
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == [
        f'iter_{i}.pth' for i in (1, 2, 3, 4)
    ]


def test_interval(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match='iteration 6 '):
        train(tmp_path, float('nan'), interval=3)


def test_finite_losses_pass(tmp_path: Path) -> None:
    train(tmp_path, 1e3)
    assert (tmp_path / 'iter_8.pth').is_file()


@pytest.mark.parametrize('interval', [0, -1, 1.5])
def test_bad_interval(interval: float) -> None:
    with pytest.raises(ValueError, match='interval'):
        NonFiniteLossHook(interval)
