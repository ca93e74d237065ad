import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'

CONFIG = """
custom_imports = dict(imports=['mmjoint'])
default_scope = 'mmpretrain'
folder = {folder!r}
model = dict(
    type='DistributedSimCLR',
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
    backbone=dict(
        type='ResNet', depth=18, base_channels=8, stem_channels=8, norm_cfg=dict(type='SyncBN')),
    neck=dict(
        type='MoCoV2Neck', in_channels=64, hid_channels=16, out_channels=8, with_avg_pool=True),
    head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2),
)
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='CustomDataset', data_root=folder, with_label=False, pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='JointView', num_views=2, transforms=[[dict(type='JointCrop', scale=32)]]),
        dict(type='PackInputs'),
    ]),
)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1), checkpoint=dict(type='CheckpointHook', interval=1))
log_processor = dict(window_size=1)
randomness = dict(seed=0)
"""

PROBE = """
custom_imports = dict(imports=['mmjoint'])
default_scope = 'mmpretrain'
folder = {folder!r}
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        num_classes=3, mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, frozen_stages=4,
        init_cfg=dict(type='StrictPretrained', checkpoint='')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=64),
)
train_dataloader = test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CustomDataset', data_root=folder, pipeline=[
        dict(type='LoadImageFromFile'), dict(type='PackInputs')]),
)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
test_cfg = dict()
test_evaluator = dict(type='Accuracy', topk=1)
randomness = dict(seed=0)
"""


@pytest.fixture(scope='session')
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 noise images of 40 x 40 pixels, of 3 classes that differ in their mean color."""
    folder = tmp_path_factory.mktemp('images')
    rng = np.random.default_rng(0)
    for label in range(3):
        (folder / f'class_{label}').mkdir()
        for i in range(16):
            image = rng.integers(0, 128, (40, 40, 3), dtype=np.uint8)
            image[..., label] += 127
            cv2.imwrite(str(folder / f'class_{label}' / f'{i}.png'), image)
    return folder


@pytest.fixture
def pretrain_config(image_folder: Path, tmp_path: Path) -> Path:
    """A SimCLR config that trains in a second: 2 epochs of 6 iterations."""
    path = tmp_path / 'tiny.py'
    path.write_text(CONFIG.format(folder=str(image_folder)))
    return path


@pytest.fixture
def probe_config(image_folder: Path, tmp_path: Path) -> Path:
    """A linear probe for what `pretrain_config` gives."""
    path = tmp_path / 'probe.py'
    path.write_text(PROBE.format(folder=str(image_folder)))
    return path


@pytest.fixture
def tool_command() -> Callable[..., list[str]]:
    """The command line that starts a tool, Python or shell, in a process of its own."""

    def command(name: str, *args: object) -> list[str]:
        interpreter = 'bash' if name.endswith('.sh') else sys.executable
        return [interpreter, str(TOOLS / name), *map(str, args)]

    return command


@pytest.fixture
def tool_environment() -> dict[str, str]:
    """The environment for `tool_command`: this Python and a free port."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    return {**os.environ, 'PYTHON': sys.executable, 'PORT': str(port)}
