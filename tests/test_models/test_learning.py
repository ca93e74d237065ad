"""Every algorithm learns: its loss falls over 30 steps on a fixed batch of 32 photos."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.logging import MessageHub
from mmpretrain.registry import MODELS, TRANSFORMS

import mmjoint.models  # noqa: F401  registers the models
from mmjoint.datasets.scenes import make_scenes

STEPS, PHOTOS = 30, 32
CHANNELS = 64  # of the backbone's features
BN = dict(type='BN1d')
CROPS = [
    dict(type='JointCrop', scale=32, crop_ratio_range=(0.2, 1.0), beta=0),
    dict(type='RandomFlip', prob=0.5),
    dict(type='JointColor', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.8),
]
PAIR = dict(num_views=2, transforms=[CROPS])
LOCAL = [dict(type='JointCrop', scale=16, crop_ratio_range=(0.05, 0.4), beta=0)]
ORIGINAL = [dict(type='Resize', scale=(32, 32), backend='pillow')]
MLP = dict(type='MoCoV2Neck', in_channels=CHANNELS, hid_channels=64, out_channels=32)
CONTRASTIVE = dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2)
# The queue is two batches long.
QUEUE = dict(queue_len=2 * PHOTOS, feat_dim=32, momentum=0.01)


def projection(in_channels: int, **kwargs) -> dict:
    return dict(
        type='NonLinearNeck',
        in_channels=in_channels,
        hid_channels=64,
        out_channels=32,
        with_avg_pool=in_channels == CHANNELS,
        norm_cfg=BN,
        **kwargs,
    )


# The model and its views; `settled` is the step from which its loss means the same thing: MoCo's
# is easy until real keys have taken the place of the queue's random ones.
CASES = {
    'SimCLR': (dict(type='DistributedSimCLR', neck=MLP, head=CONTRASTIVE), PAIR, 0),
    'MoCo v1': (
        dict(
            type='MoCo',
            neck=dict(
                type='LinearNeck',
                in_channels=CHANNELS,
                out_channels=32,
                gap_dim=2,
                norm_cfg=None,
            ),
            head=dict(CONTRASTIVE, temperature=0.07),
            **QUEUE,
        ),
        PAIR,
        2,
    ),
    'MoCo v2': (dict(type='MoCo', neck=MLP, head=CONTRASTIVE, **QUEUE), PAIR, 2),
    'LeOCLR': (
        dict(type='LeOCLR', neck=MLP, head=CONTRASTIVE, **QUEUE),
        dict(num_views=[1, 2], transforms=[ORIGINAL, CROPS]),
        2,
    ),
    'MoCo v3': (
        dict(
            type='MoCoV3',
            neck=projection(CHANNELS, with_last_bn_affine=False),
            head=dict(
                type='MoCoV3Head',
                predictor=projection(32, with_last_bn=False),
                loss=dict(type='CrossEntropyLoss', loss_weight=2.0),
                temperature=1.0,
            ),
        ),
        PAIR,
        0,
    ),
    'BYOL': (
        dict(
            type='BYOL',
            neck=projection(CHANNELS, with_last_bn=False),
            head=dict(
                type='LatentPredictHead',
                predictor=projection(32, with_last_bn=False),
                loss=dict(type='CosineSimilarityLoss'),
            ),
        ),
        PAIR,
        0,
    ),
    'SimSiam': (
        dict(
            type='SimSiam',
            neck=projection(CHANNELS, with_last_bn_affine=False),
            head=dict(
                type='LatentPredictHead',
                predictor=projection(32, with_last_bn=False, with_last_bias=True),
                loss=dict(type='CosineSimilarityLoss'),
            ),
        ),
        PAIR,
        0,
    ),
    # With batch norm in the projection: without it a random network gives all images nearly the
    # same logits, the center takes away what they share, and it takes more than 30 steps for
    # the loss to leave the logarithm of the number of prototypes.
    'DINO': (
        dict(
            type='DINO',
            neck=dict(
                type='DINONeck',
                in_channels=CHANNELS,
                hid_channels=64,
                bottleneck_channels=32,
                out_channels=64,
                with_bn=True,
                norm_cfg=BN,
            ),
            head=dict(type='DINOHead', out_channels=64),
        ),
        dict(num_views=[2, 4], transforms=[CROPS, LOCAL]),
        0,
    ),
}


@pytest.fixture(scope='module')
def photos(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[np.ndarray]:
    """Real photos of several classes, or generated ones where there are none."""
    try:
        folder = request.getfixturevalue('shared_data') / 'tiny_imagenet_20' / 'train'
    except pytest.skip.Exception:
        folder = make_scenes(tmp_path_factory.mktemp('scenes') / 'data', PHOTOS, 10)
    files: list[Path] = sorted(
        path for path in folder.rglob('*') if path.suffix.lower() in ('.jpg', '.jpeg')
    )
    return [cv2.imread(str(path)) for path in files[:: len(files) // PHOTOS][:PHOTOS]]


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=pytest.mark.slow) if name in ('MoCo v3', 'BYOL') else name
        for name in CASES
    ],
)
def test_loss_falls(name: str, photos: list[np.ndarray]) -> None:
    config, views, settled = CASES[name]
    np.random.seed(0)
    torch.manual_seed(0)
    view = TRANSFORMS.build(dict(type='JointView', **views))
    pack = TRANSFORMS.build(dict(type='PackInputs'))
    batch = default_collate([pack(view(dict(img=photo))) for photo in photos])
    assert len(photos) == len(batch['inputs'][0]) == PHOTOS
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            config,
            backbone=dict(
                type='ResNet',
                depth=18,
                base_channels=8,
                stem_channels=8,
                zero_init_residual=False,
            ),
            data_preprocessor=dict(
                mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
            ),
        )
    )
    MessageHub.get_current_instance().update_info('max_iters', STEPS)
    if name == 'DINO':
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    model.train()
    losses = []
    for _ in range(STEPS):
        data = model.data_preprocessor(batch, training=True)
        loss = model(data['inputs'], data['data_samples'], mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < np.mean(losses[settled : settled + 3]) - 0.3
    if name == 'DINO':  # less than what the same answer for every image would have
        assert losses[-1] < np.log(64) - 0.3
