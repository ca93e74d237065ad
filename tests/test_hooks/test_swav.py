from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner
from torch import Tensor, nn

from mmjoint.engine import build_runner, guard_run

_runs = iter(range(10**6))


@DATASETS.register_module(force=True)
class Steps(torch.utils.data.Dataset):
    metainfo: dict = {}

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> Tensor:
        return torch.full((3,), float(i + 1))


@MODELS.register_module(force=True)
class Queued(BaseModel):
    """Has a queue where SwAV has it, and puts the batches into it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.head = nn.Module()
        self.head.loss_module = nn.Module()

    def train_step(self, data: Tensor, optim_wrapper: object) -> dict:
        queue = self.head.loss_module.queue
        if queue is not None:
            queue[:, 2:] = queue[:, :-2].clone()
            queue[:, :2] = data
        return super().train_step(dict(inputs=data), optim_wrapper)

    def forward(self, inputs: Tensor, mode: str = 'loss') -> dict:
        return dict(loss=(self.weight * inputs).mean())


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Runner]:
    def train(folder: str, resume: str | None = None, length: int = 8) -> Runner:
        cfg = Config(
            dict(
                work_dir=str(tmp_path / folder),
                launcher='none',
                experiment_name=f'{tmp_path.name}_{next(_runs)}',
                model=dict(type='Queued'),
                train_dataloader=dict(
                    batch_size=2,
                    num_workers=0,
                    dataset=dict(type='Steps'),
                    sampler=dict(type='DefaultSampler', shuffle=True),
                    collate_fn=dict(type='default_collate'),
                ),
                train_cfg=dict(by_epoch=True, max_epochs=3),
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
                custom_hooks=[
                    dict(
                        type='SwAVHook',
                        batch_size=2,
                        epoch_queue_starts=1,
                        feat_dim=3,
                        queue_length=length,
                    )
                ],
                randomness=dict(seed=0),
            )
        )
        if resume:
            cfg.resume, cfg.load_from = True, str(tmp_path / resume)
        guard_run(cfg)
        runner = build_runner(cfg, strict=bool(resume))
        runner.train()
        return runner

    return train


def test_resumed_run_has_the_queue_of_its_checkpoint(
    train: Callable[..., Runner], tmp_path: Path
) -> None:
    whole = train('whole').model.head.loss_module.queue
    saved = [torch.load(tmp_path / f'whole/epoch_{i}.pth', weights_only=False) for i in (1, 2, 3)]
    assert 'swav_queue' not in saved[0]  # it starts with the second epoch
    assert whole.shape == (2, 8, 3) and torch.equal(saved[2]['swav_queue'], whole)
    # A file of another run in the folder is not taken.
    (tmp_path / 'rest').mkdir()
    torch.save({'queue': torch.zeros(2, 8, 3)}, tmp_path / 'rest/queue.pth')
    rest = train('rest', 'whole/epoch_2.pth').model.head.loss_module.queue
    assert torch.equal(rest, whole)
    assert not torch.equal(rest, saved[1]['swav_queue'])
    assert not list((tmp_path / 'whole').glob('queue*'))


def test_queue_of_another_length_is_filled_anew(
    train: Callable[..., Runner], tmp_path: Path
) -> None:
    train('whole')
    rest = train('rest', 'whole/epoch_2.pth', length=16).model.head.loss_module.queue
    assert rest.shape == (2, 16, 3)
    assert (rest[0, :8] > 0).all() and (rest[0, 8:] == 0).all()
