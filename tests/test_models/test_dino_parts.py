"""DINO's neck as it starts, and the arguments that its neck, head, model and hook refuse."""

import pytest
import torch
from mmpretrain.registry import MODELS

from mmjoint.hooks import DINOHook


def test_neck_has_the_initialization_of_the_repository() -> None:
    torch.manual_seed(0)
    neck = MODELS.build(dict(type='DINONeck', in_channels=512, out_channels=1000))
    assert [type(layer).__name__ for layer in neck.mlp] == [
        'Linear',
        'GELU',
        'Linear',
        'GELU',
        'Linear',
    ]
    assert [neck.mlp[i].weight.shape for i in (0, 2, 4)] == [(2048, 512), (2048, 2048), (256, 2048)]
    for i in (0, 2, 4):
        assert neck.mlp[i].weight.std().item() == pytest.approx(0.02, rel=0.01)
        assert not neck.mlp[i].bias.any()
    assert (neck.last_layer.weight_g == 1).all() and not neck.last_layer.weight_g.requires_grad
    with_bn = MODELS.build(
        dict(type='DINONeck', in_channels=8, out_channels=9, with_bn=True, num_layers=2)
    )
    assert [type(layer).__name__ for layer in with_bn.mlp] == [
        'Linear',
        'SyncBatchNorm',
        'GELU',
        'Linear',
    ]


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (
            dict(type='DINOHead', student_temperature=0),
            'student_temperature must be above 0, got 0',
        ),
        (dict(type='DINOHead', warmup_epochs=1.5), 'warmup_epochs must be an int .*, got 1.5'),
        (dict(type='DINOHead', center_momentum=9), r'center_momentum must lie in \[0, 1\], got 9'),
        (
            dict(type='DINONeck', in_channels=8, num_layers=0),
            'num_layers must be at least 1, got 0',
        ),
        (
            dict(type='DINONeck', in_channels=8, norm_cfg=dict(type='BN1d')),
            'norm_cfg has no effect without with_bn=True',
        ),
        (
            dict(type='DINO', backbone=None, neck=None, head=None, base_momentum=1.5),
            'base_momentum, the share of the new weights, must lie in .*, got 1.5',
        ),
    ],
)
def test_wrong_arguments(config: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MODELS.build(config)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(freeze_last_layer=-1), 'freeze_last_layer must be an int of 0 or more, got -1'),
        (dict(clip_grad=0), 'clip_grad must be above 0 or None, got 0'),
    ],
)
def test_wrong_arguments_of_the_hook(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DINOHook(**arguments)
