"""The schedules of DINO's configs against the formulas of its repository."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


class Toy(BaseModel):
    """One linear layer, so that a whole schedule runs in a second; notes its hyperparameters."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.noted = []

    def forward(self, value: list[Tensor], mode: str) -> dict[str, Tensor]:
        return dict(loss=self.layer(torch.ones(1)).sum())

    def train_step(self, data: dict, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        weight, bias = optim_wrapper.optimizer.param_groups
        self.noted.append((weight['lr'], bias['lr'], weight['weight_decay'], bias['weight_decay']))
        return super().train_step(data, optim_wrapper)


@pytest.mark.parametrize(
    ('name', 'peak', 'decays'),
    [
        ('dino_vit-small_8xb64-coslr-100e_in1k', 5e-4 * 512 / 256, (0.04, 0.4)),
        ('dino_resnet50_8xb64-coslr-100e_in1k', 0.03 * 512 / 256, (1e-4, 1e-4)),
    ],
)
def test_schedules_of_the_repository(
    name: str, peak: float, decays: tuple[float, float], tmp_path: Path
) -> None:
    """Rate and weight decay of every iteration of the configs' 100 epochs, by its formulas."""
    cfg = Config.fromfile(CONFIGS / 'dino' / f'{name}.py')
    model, length = Toy(), 2
    Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=dict(
            batch_size=1,
            dataset=[dict(value=torch.ones(1))] * length,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=cfg.train_cfg,
        optim_wrapper=cfg.optim_wrapper,
        param_scheduler=cfg.param_scheduler,
        default_hooks=dict(logger=None, checkpoint=None),
        default_scope='mmpretrain',
        experiment_name=name,
        log_level='ERROR',
    ).train()
    total, warmup = 100 * length, 10 * length
    progress = np.arange(total - warmup) / (total - warmup)
    rates = np.concatenate(
        [
            # The repository starts at 0, where mmengine wants a start above it.
            np.linspace(1e-4 * peak, peak, warmup),
            1e-6 + (peak - 1e-6) * (1 + np.cos(np.pi * progress)) / 2,
        ]
    )
    start, end = decays
    decay = end + (start - end) * (1 + np.cos(np.pi * np.arange(total) / total)) / 2
    expected = np.stack([rates, rates, decay, np.zeros(total)], 1)
    np.testing.assert_allclose(model.noted, expected, rtol=1e-6)
