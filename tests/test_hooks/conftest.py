"""Tiny runs of real algorithms: a backbone of two convolutions on images of 16 x 16 pixels."""

import copy
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from mmpretrain.models.heads import LatentPredictHead
from mmpretrain.registry import MODELS
from torch import nn

import mmjoint  # noqa: F401

CHANNELS = 32


@MODELS.register_module()
class TinyBackbone(nn.Sequential):
    """A map of 32 channels."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, CHANNELS, 4, 4),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            nn.ReLU(),
        )

    def init_weights(self) -> None:
        """As torch has done."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (super().forward(x),)


@MODELS.register_module()
class NoStopGradientHead(LatentPredictHead):
    """SimSiam's head with its stop-gradient taken out."""

    def loss(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.loss_module(self.predictor([input])[0], target)


def _neck(num_layers: int = 2, **kwargs) -> dict:
    return dict(
        type='NonLinearNeck',
        in_channels=CHANNELS,
        hid_channels=CHANNELS,
        out_channels=CHANNELS,
        num_layers=num_layers,
        norm_cfg=dict(type='BN1d'),
        **kwargs,
    )


def _predictor(loss: dict, **kwargs) -> dict:
    predictor = _neck(with_avg_pool=False, with_last_bn=False, with_last_bias=True)
    return dict(type='LatentPredictHead', loss=loss, predictor=predictor) | kwargs


_COSINE = dict(type='CosineSimilarityLoss')
_CROSS_ENTROPY = dict(type='CrossEntropyLoss')
_MOCO_NECK = dict(
    type='MoCoV2Neck',
    in_channels=CHANNELS,
    hid_channels=CHANNELS,
    out_channels=CHANNELS,
    with_avg_pool=True,
)
_CONTRAST = dict(type='ContrastiveHead', loss=_CROSS_ENTROPY, temperature=0.2)
_QUEUE = dict(queue_len=96, feat_dim=CHANNELS)
_MODELS = {
    'SimCLR': dict(type='SimCLR', neck=_MOCO_NECK, head=_CONTRAST),
    'SimSiam': dict(type='SimSiam', neck=_neck(3), head=_predictor(_COSINE)),
    'BYOL': dict(type='BYOL', neck=_neck(), head=_predictor(_COSINE)),
    'MoCo': dict(type='MoCo', neck=_MOCO_NECK, head=_CONTRAST, **_QUEUE),
    'MoCoV3': dict(
        type='MoCoV3',
        neck=_neck(),
        head=_predictor(_CROSS_ENTROPY, type='MoCoV3Head', temperature=1.0),
    ),
    'DINO': dict(
        type='DINO',
        neck=dict(
            type='DINONeck',
            in_channels=CHANNELS,
            out_channels=64,
            hid_channels=CHANNELS,
            bottleneck_channels=CHANNELS,
            with_bn=True,
            norm_cfg=dict(type='BN1d'),
        ),
        head=dict(type='DINOHead', out_channels=64),
    ),
    'LeOCLR': dict(type='LeOCLR', neck=_MOCO_NECK, head=_CONTRAST, **_QUEUE),
    'collapsing': dict(
        type='SimSiam', neck=_neck(3), head=_predictor(_COSINE, type='NoStopGradientHead')
    ),
}


@pytest.fixture(scope='session')
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 training and 24 test images of 4 classes: a color and a place, with noise."""
    folder = tmp_path_factory.mktemp('pictures')
    rng = np.random.default_rng(0)
    for split, num in (('train', 24), ('val', 6)):
        for label in range(4):
            (folder / split / f'class_{label}').mkdir(parents=True)
            for i in range(num):
                image = rng.integers(0, 120, (20, 20, 3), dtype=np.uint8)
                y, x = 10 * (label // 2), 10 * (label % 2)
                image[y : y + 10, x : x + 10] += rng.integers(60, 130, 3, dtype=np.uint8)
                cv2.imwrite(str(folder / split / f'class_{label}' / f'{i}.png'), image)
    return folder


@pytest.fixture
def tiny_run(pictures: Path, tmp_path: Path) -> Callable[..., Runner]:
    """Build the runner of an algorithm's tiny run, whose epoch is 6 iterations a repeat."""
    # A folder each: mmengine names those of the logs by the second.
    folders = (tmp_path / f'work_{i}' for i in itertools.count())

    def build(
        method: str,
        hooks: list[dict],
        epochs: int = 1,
        repeat: int = 1,
        head: dict | None = None,
        preprocessor: dict | None = None,
        **changes,
    ) -> Runner:
        model = copy.deepcopy(_MODELS[method])
        model['backbone'] = dict(type='TinyBackbone')
        model['head'].update(head or {})
        model['data_preprocessor'] = dict(mean=[128] * 3, std=[64] * 3, to_rgb=True)
        model['data_preprocessor'].update(preprocessor or {})
        views = [
            dict(type='JointCrop', scale=16, crop_ratio_range=(0.2, 1.0), beta=0),
            dict(type='JointColor', brightness=0.4, hue=0.1, prob=0.8),
        ]
        num_views, groups = 2, [views]
        if model['type'] == 'LeOCLR':
            whole = [dict(type='Resize', scale=(16, 16))]
            num_views, groups = [1, 2], [whole, views]
        pipeline = [
            dict(type='LoadImage'),
            dict(type='JointView', num_views=num_views, transforms=groups),
            dict(type='PackInputs'),
        ]
        pictures_cfg = dict(
            type='ImageFolder', data_root=str(pictures), data_prefix='train', pipeline=pipeline
        )
        dataset = dict(type='RepeatDataset', times=repeat, dataset=pictures_cfg)
        for manager in (MessageHub, MMLogger, Visualizer, DefaultScope):
            manager._instance_dict.clear()
        settings = dict(
            model=model,
            work_dir=str(next(folders)),
            default_scope='mmpretrain',
            train_dataloader=dict(
                batch_size=16,
                num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=True),
                collate_fn=dict(type='default_collate'),
                dataset=dataset,
            ),
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
            default_hooks=dict(logger=dict(type='LoggerHook', interval=1), checkpoint=None),
            custom_hooks=hooks,
            randomness=dict(seed=0),
            experiment_name='tiny',
        )
        return Runner.from_cfg(settings | changes)

    return build


@pytest.fixture
def read_log() -> Callable[[Runner], list[dict]]:
    """The lines of a run's scalars.json."""

    def read(runner: Runner) -> list[dict]:
        text = Path(runner.log_dir, 'vis_data/scalars.json').read_text()
        return [json.loads(line) for line in text.splitlines()]

    return read
