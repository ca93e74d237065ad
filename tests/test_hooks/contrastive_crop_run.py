"""A small ContrastiveCrop run, for tests/test_hooks/test_contrastive_crop.py.

Called as ``python contrastive_crop_run.py FOLDER OUT`` with MASTER_ADDR and MASTER_PORT set it is
a run of two processes; they write the boxes to OUT.RANK.
"""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from torch import Tensor, nn

import mmjoint  # noqa: F401  registers what the config names
from mmjoint.engine import build_runner, fit_to_machine
from mmjoint.hooks import ContrastiveCropHook


@MODELS.register_module(force=True)
class OneConvolution(nn.Module):
    """A backbone without batch norm: its maps do not depend on what else is in a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 8, stride=8)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (nn.functional.softplus(self.conv(images)),)


class RecordHook(Hook):
    """Keep the box with which each image was cropped, as the data loader's worker told it."""

    def __init__(self) -> None:
        self.seen: dict[int, dict[int, tuple | None]] = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        for sample in data_batch['data_samples']:
            seen = self.seen.setdefault(runner.epoch + 1, {})
            seen[sample.sample_idx] = sample.semantic_box


def make_runner(folder: Path, work_dir: Path, **options) -> tuple[Runner, RecordHook]:
    """Build a run on the images of a folder.

    Options: hook (the arguments of ContrastiveCropHook), epochs, lr, workers, start, launcher,
    resume and load_from.
    """
    crop = dict(type='JointCrop', scale=32, position='semantic', alpha=0.6, beta=0)
    workers = options.get('workers', 0)
    cfg = Config(
        dict(
            default_scope='mmpretrain',
            work_dir=str(work_dir),
            launcher=options.get('launcher', 'none'),
            model=dict(
                type='SimCLR',
                backbone=dict(type='OneConvolution'),
                neck=dict(type='MoCoV2Neck', in_channels=4, hid_channels=8, out_channels=8),
                head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss')),
                data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
            ),
            train_dataloader=dict(
                batch_size=2,
                num_workers=workers,
                persistent_workers=workers > 0,
                sampler=dict(type='DefaultSampler', shuffle=True),
                collate_fn=dict(type='default_collate'),
                dataset=dict(
                    type='ImageFolder',
                    data_root=str(folder),
                    pipeline=[
                        dict(type='LoadImage'),
                        dict(type='LoadSemanticBox'),
                        dict(type='JointView', num_views=2, transforms=[[crop]]),
                        dict(type='PackInputs', meta_keys=('sample_idx', 'semantic_box')),
                    ],
                ),
            ),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=options.get('lr', 0.0))),
            train_cfg=dict(by_epoch=True, max_epochs=options.get('epochs', 4)),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
            custom_hooks=[
                dict(type='ContrastiveCropHook', scale=64) | options.get('hook', {}),
            ],
            env_cfg=dict(mp_cfg=dict(mp_start_method=options.get('start', 'fork'))),
            randomness=dict(seed=0),
            log_level='WARNING',
            resume=options.get('resume', False),
            load_from=options.get('load_from'),
        )
    )
    cfg.experiment_name = f'{work_dir.name}_{id(cfg)}'
    fit_to_machine(cfg)
    record = RecordHook()
    runner = build_runner(cfg, strict=False)
    runner.register_hook(record)
    return runner, record


def boxes_of(runner: Runner) -> Tensor:
    """Get the boxes that a run's hook holds."""
    return next(hook.boxes for hook in runner.hooks if isinstance(hook, ContrastiveCropHook))


if __name__ == '__main__':
    work_dir = Path(f'{sys.argv[2]}_work_dir')
    other = os.fork()  # sooner there than a process that imports everything
    rank = '0' if other else '1'
    os.environ.update(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE='2')
    runner, _ = make_runner(
        Path(sys.argv[1]),
        work_dir,
        launcher='pytorch',
        epochs=2,
        hook=dict(warm_up=1, interval=1),
    )
    runner.train()
    torch.save(boxes_of(runner), f'{sys.argv[2]}.{dist.get_rank()}')
    dist.destroy_process_group()
    if other:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]))
