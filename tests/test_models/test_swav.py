"""SwAV's assignments and its multi-crop loss."""

import copy
import math

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmpretrain.models.losses.swav_loss import distributed_sinkhorn
from mmpretrain.registry import MODELS, TRANSFORMS
from torch import nn

from mmjoint.models.swav import sinkhorn

PROTOTYPES, BATCH = 12, 4


def build(loss: str = 'DistributedSwAVLoss') -> nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='SwAV',
            backbone=dict(type='ResNet', depth=18, base_channels=4),
            neck=dict(
                type='SwAVNeck',
                in_channels=32,
                hid_channels=16,
                out_channels=8,
                norm_cfg=dict(type='BN1d'),
            ),
            head=dict(
                type='SwAVHead',
                loss=dict(type=loss, feat_dim=8, num_crops=[2, 4], num_prototypes=PROTOTYPES),
            ),
        )
    )
    return model


def test_sinkhorn_balances_the_prototypes() -> None:
    torch.manual_seed(0)
    scores = torch.rand(24, PROTOTYPES, dtype=torch.double) * 2 - 1
    shares = sinkhorn(scores, iterations=200, epsilon=0.05)
    torch.testing.assert_close(shares.sum(1), torch.ones(24, dtype=torch.double))
    torch.testing.assert_close(
        shares.sum(0), torch.full((PROTOTYPES,), 24 / PROTOTYPES, dtype=torch.double)
    )
    for iterations in (1, 3):
        torch.testing.assert_close(
            sinkhorn(scores, iterations, 0.05), distributed_sinkhorn(scores, iterations, 1, 0.05)
        )


def test_sinkhorn_of_scores_whose_exponentials_overflow() -> None:
    scores = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    assert math.isinf(torch.exp(scores / 0.005).max())
    torch.testing.assert_close(sinkhorn(scores, 3, 0.005), torch.eye(2))


def views_of_groups() -> list[torch.Tensor]:
    """A batch as JointView's two groups make it."""
    view = TRANSFORMS.build(
        dict(
            type='JointView',
            num_views=[2, 4],
            transforms=[
                [dict(type='JointCrop', scale=32, crop_ratio_range=(0.14, 1.0), beta=0)],
                [dict(type='JointCrop', scale=16, crop_ratio_range=(0.05, 0.14), beta=0)],
            ],
        )
    )
    np.random.seed(0)
    torch.manual_seed(0)
    pack = TRANSFORMS.build(dict(type='PackInputs'))
    samples = [
        pack(view(dict(img=np.random.randint(0, 256, (48, 48, 3), dtype=np.uint8))))
        for _ in range(BATCH)
    ]
    return default_collate([dict(inputs=sample['inputs']) for sample in samples])['inputs']


def test_multi_crop_by_hand() -> None:
    """A pass a resolution, and every other view predicts a global view's assignment."""
    model = build().double()
    views = [view.double() / 255 for view in views_of_groups()]
    assert [view.shape[-1] for view in views] == [32] * 2 + [16] * 4
    copied = copy.deepcopy(model)
    passes = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: passes.append(inputs[0].shape))
    loss = model(views, None, mode='loss')['loss']
    assert passes == [(8, 3, 32, 32), (16, 3, 16, 16)]

    features = torch.cat(
        [copied.backbone(torch.cat(group))[0].mean((2, 3)) for group in (views[:2], views[2:])]
    )
    projected = copied.neck.projection_neck(features)
    projected = projected / projected.norm(dim=1, keepdim=True)
    prototypes = copied.head.loss_module.prototypes.weight
    prototypes = prototypes / prototypes.norm(dim=1, keepdim=True)
    scores = (projected @ prototypes.T).split(BATCH)
    terms = []
    for view in (0, 1):
        target = distributed_sinkhorn(scores[view].detach(), 3, 1, 0.05)
        for other in range(6):
            if other != view:
                logits = scores[other] / 0.1
                log_probability = logits - torch.logsumexp(logits, 1, keepdim=True)
                terms.append(-(target * log_probability).sum(1).mean())
    expected = sum(terms) / 10
    assert len(terms) == 10
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)


def test_queue() -> None:
    """The queue takes part once its last place is filled; until then it only fills."""
    ours, stock = (build(kind).double() for kind in ('DistributedSwAVLoss', 'SwAVLoss'))
    for model in (ours, stock):
        model.head.loss_module.queue = torch.zeros(2, 8, 8, dtype=torch.double)
    for step in range(4):
        views = [torch.randn(BATCH, 3, size, size).double() for size in [32] * 2 + [16] * 4]
        losses = [model(views, None, mode='loss')['loss'].item() for model in (ours, stock)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)
        queues = [model.head.loss_module.queue for model in (ours, stock)]
        torch.testing.assert_close(*queues)
        assert ours.head.loss_module.use_queue is (step >= 2)


def test_projections_that_do_not_fit_the_views() -> None:
    with pytest.raises(ValueError, match='13 projections are not a multiple of the 6 views'):
        build().head.loss_module(torch.randn(13, 8))


def test_several_sets_of_prototypes() -> None:
    with pytest.raises(TypeError, match=r'num_prototypes must be an int, got \[3, 4\]'):
        MODELS.build(dict(type='DistributedSwAVLoss', feat_dim=8, num_prototypes=[3, 4]))
