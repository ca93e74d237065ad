"""Which of a file's networks is loaded, and names that torch.compile has changed."""

import pytest
import torch
from torch import nn

from mmjoint.checkpoints import CheckpointError, load_backbone
from mmjoint.checkpoints.backbones import find_places


def make_backbone(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def under(prefix, model):
    return {prefix + key: value for key, value in model.state_dict().items()}


ONLINE, MOMENTUM, AVERAGE, THIRD = map(make_backbone, range(4))
EMA = {'steps': torch.tensor(4), **under('module.backbone.', ONLINE)}
MOCO = under('encoder_k.module.0.', MOMENTUM)
FILES = {
    'plain': ({'state_dict': under('backbone.', ONLINE)}, {'online': ONLINE}),
    'moco': (
        {'state_dict': under('backbone.', ONLINE) | MOCO},
        {'online': ONLINE, 'momentum': MOMENTUM},
    ),
    'EMAHook': (
        {'state_dict': under('backbone.', AVERAGE), 'ema_state_dict': EMA},
        {'online': ONLINE, 'momentum': AVERAGE},
    ),
    # The method's own average of its weights comes before EMAHook's of the same.
    'moco with EMAHook': (
        {
            'state_dict': under('backbone.', AVERAGE) | under('encoder_k.module.0.', THIRD),
            'ema_state_dict': EMA | under('module.encoder_k.module.0.', MOMENTUM),
        },
        {'online': ONLINE, 'momentum': MOMENTUM},
    ),
    'compiled': (
        {'state_dict': under('backbone._orig_mod.', ONLINE)},
        {'online': ONLINE},
    ),
    'compiled with EMAHook': (
        {
            'state_dict': under('_orig_mod.backbone.', AVERAGE),
            'ema_state_dict': {k.replace('.', '._orig_mod.', 1): v for k, v in EMA.items()},
        },
        {'online': ONLINE, 'momentum': AVERAGE},
    ),
}


@pytest.mark.parametrize('which', ['online', 'momentum'])
@pytest.mark.parametrize('name', FILES)
def test_the_network_that_is_asked_for_is_loaded(tmp_path, name, which):
    content, expected = FILES[name]
    path = tmp_path / 'checkpoint.pth'
    torch.save(content, path)
    assert list(find_places(content, path)) == list(expected)
    model = make_backbone(9)
    if which not in expected:
        with pytest.raises(CheckpointError, match=f'{path}: has no momentum backbone; it has onl'):
            load_backbone(model, path, which=which)
        return
    load_backbone(model, path, which=which)
    for key, value in expected[which].state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


def test_a_neck_is_that_of_the_same_network(tmp_path):
    content = {
        'state_dict': under('neck.', AVERAGE),
        'ema_state_dict': {'steps': torch.tensor(4), **under('module.neck.', ONLINE)},
    }
    torch.save(content, tmp_path / 'checkpoint.pth')
    for which, expected in (('online', ONLINE), ('momentum', AVERAGE)):
        model = make_backbone(9)
        load_backbone(model, tmp_path / 'checkpoint.pth', 'neck.', which)
        assert torch.equal(model[0].weight, expected[0].weight)


def test_weights_that_are_there_twice(tmp_path):
    path = tmp_path / 'checkpoint.pth'
    both = under('backbone.', ONLINE) | under('backbone._orig_mod.', MOMENTUM)
    torch.save({'state_dict': both}, path)
    with pytest.raises(CheckpointError, match=f'{path}: has weights twice, compiled'):
        load_backbone(make_backbone(9), path)
