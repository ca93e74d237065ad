"""A training run that kills itself at a moment, or goes on to its end.

Called as ``python aimed_kill.py WORK_DIR [MOMENT NUMBER SIGNAL]``: the signal comes when the moment
comes for the NUMBER-th time.
"""

import os
import signal
import sys
import time
from collections.abc import Callable

import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor, nn

from mmjoint import engine


@DATASETS.register_module()
class Waves(torch.utils.data.Dataset):
    metainfo: dict = {}

    def __len__(self) -> int:
        return 16

    def __getitem__(self, i: int) -> Tensor:
        return torch.sin(torch.arange(8.0) * (i + 1))


@MODELS.register_module()
class Network(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 8))

    def train_step(self, data: Tensor, optim_wrapper: object) -> dict:
        return super().train_step(dict(inputs=data), optim_wrapper)

    def forward(self, inputs: Tensor, mode: str = 'loss') -> dict:
        return dict(loss=(self.layers(inputs) - inputs).square().mean())


def aim(moment: str, number: int, name: str) -> None:
    """Have the process get a signal at a moment."""
    seen = 0

    def hit(now: str, about: object = '.pth') -> None:
        nonlocal seen
        if now == moment and str(about).endswith('.pth'):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.Signals[name])
                time.sleep(60)  # the kernel ends the process before

    def around(owner: object, method: str, before: str, after: str, place: int) -> None:
        original: Callable = getattr(owner, method)

        def wrapped(*args: object, **kwargs: object) -> object:
            about = args[place] if place < len(args) else '.pth'
            hit(before, about)
            result = original(*args, **kwargs)
            hit(after, about)
            return result

        setattr(owner, method, wrapped)

    around(Runner, '__init__', 'start', 'built', 99)
    around(Runner, 'load_or_resume', 'before loading', 'after loading', 99)
    around(EpochBasedTrainLoop, 'run_iter', '', 'iteration', 99)
    around(os, 'fsync', 'in a save', '', 99)
    around(os, 'replace', 'before a rename', 'after a rename', 1)
    around(LocalBackend, 'remove', 'before a removal', 'after a removal', 1)


if __name__ == '__main__':
    if len(sys.argv) > 2:
        aim(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    cfg = Config(
        dict(
            work_dir=sys.argv[1],
            launcher='none',
            model=dict(type='Network'),
            train_dataloader=dict(
                batch_size=4,
                num_workers=0,
                dataset=dict(type='Waves'),
                sampler=dict(type='DefaultSampler', shuffle=True),
                collate_fn=dict(type='default_collate'),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=6),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
            param_scheduler=[
                dict(
                    type='CosineAnnealingLR',
                    T_max=6,
                    end=6,
                    by_epoch=True,
                    convert_to_iter_based=True,
                )
            ],
            default_hooks=dict(
                checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2),
                logger=dict(type='LoggerHook', interval=1),
            ),
            log_processor=dict(window_size=1),
            randomness=dict(seed=0),
        )
    )
    engine.enter_work_dir(cfg, resume='auto')
    engine.guard_run(cfg)
    engine.build_runner(cfg, strict=bool(cfg.resume)).train()
