from pathlib import Path

import pytest
import torch
from mmengine.model import initialize
from mmpretrain.models import ImageClassifier
from torch import nn

from mmjoint.models import StrictPretrained


def classifier(checkpoint: str, **backbone) -> ImageClassifier:
    init_cfg = dict(type='StrictPretrained', checkpoint=checkpoint)
    return ImageClassifier(
        backbone=dict(type='ResNet', depth=18, init_cfg=init_cfg, **backbone),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=3, in_channels=512),
    )


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict]:
    """A pretraining checkpoint with random weights in every place, and its backbone's."""
    torch.manual_seed(0)
    backbone = {
        name: torch.randn_like(value).abs() if value.is_floating_point() else value + 7
        for name, value in classifier('unused').backbone.state_dict().items()
    }
    weights = {f'backbone.{name}': value for name, value in backbone.items()}
    weights['neck.fc.weight'] = torch.randn(4, 4)
    path = tmp_path_factory.mktemp('checkpoint') / 'epoch_1.pth'
    torch.save(dict(state_dict=weights, meta={}), path)
    return str(path), backbone


# zero_init_residual is mmpretrain's default, and would zero part of what was loaded.
@pytest.mark.parametrize('kwargs', [{}, dict(zero_init_residual=True, frozen_stages=4)])
def test_weights_end_up_in_the_model(checkpoint: tuple[str, dict], kwargs: dict) -> None:
    path, expected = checkpoint
    model = classifier(path, **kwargs)
    model.init_weights()
    state = model.backbone.state_dict()
    assert state.keys() == expected.keys()
    for name, value in state.items():
        assert torch.equal(value, expected[name]), name
    assert model.head.fc.weight.std() < 0.1  # the head has its own initialization


def test_no_checkpoint() -> None:
    with pytest.raises(ValueError, match='--cfg-options model.backbone.init_cfg.checkpoint=CKPT'):
        classifier('').init_weights()


def test_wrong_depth(checkpoint: tuple[str, dict]) -> None:
    model = classifier(checkpoint[0])
    model.backbone.layer4 = nn.Identity()
    with pytest.raises(ValueError, match='30 unexpected .layer4.0.conv1.weight'):
        model.init_weights()


def test_wrong_prefix(checkpoint: tuple[str, dict]) -> None:
    with pytest.raises(ValueError, match="no weight starts with 'encoder_q.'"):
        StrictPretrained(checkpoint[0], prefix='encoder_q.')(nn.Linear(1, 1))


def test_without_prefix(tmp_path: Path) -> None:
    source, target = nn.Linear(2, 3), nn.Linear(2, 3)
    torch.save(source.state_dict(), tmp_path / 'linear.pth')
    init_cfg = dict(type='StrictPretrained', checkpoint=str(tmp_path / 'linear.pth'), prefix='')
    initialize(target, init_cfg)
    assert torch.equal(source.weight, target.weight) and torch.equal(source.bias, target.bias)
