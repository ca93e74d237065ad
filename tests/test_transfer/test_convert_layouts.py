"""Layouts of other programs' checkpoints, as their sources write them, around random ResNets."""

import argparse

import pytest
import torch
import torchvision
from resnets import assert_same_weights, randomise
from torch import nn
from torch.optim.swa_utils import AveragedModel

from mmjoint.checkpoints import CheckpointError, backbone_weights, convert

NETWORKS = [randomise(torchvision.models.resnet18(), seed) for seed in (1, 2)]
for _network in NETWORKS:
    _network.fc = nn.Identity()
TRUNKS = [network.state_dict() for network in NETWORKS]
HEAD = nn.Sequential(nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4))


def under(prefix, *modules, **named):
    """The weights of modules under a prefix, as state_dict names them."""
    weights = {}
    for module in modules:
        state = module if isinstance(module, dict) else module.state_dict()
        weights |= {f'{prefix}{key}': value for key, value in state.items()}
    for name, module in named.items():
        weights |= under(f'{prefix}{name}.', module)
    return weights


def children(network):
    return nn.Sequential(*list(network.children())[:-1])


def lightning(weights):
    return {
        'epoch': 9,
        'global_step': 100,
        'pytorch-lightning_version': '1.9.5',
        'state_dict': weights,
        'hyper_parameters': {'lr': 0.1},
    }


ONLINE, MOMENTUM = TRUNKS
AVERAGE = AveragedModel(NETWORKS[1])
LAYOUTS = {
    # github.com/facebookresearch/simsiam: the projector is the encoder's fc.
    'simsiam': {
        'epoch': 100,
        'arch': 'resnet18',
        'state_dict': under('module.', encoder={**ONLINE, **under('fc.', HEAD)}, predictor=HEAD),
    },
    'simsiam of one process': {
        'state_dict': under('', encoder={**ONLINE, **under('fc.', HEAD)}, predictor=HEAD),
    },
    # github.com/facebookresearch/swav: heads beside a bare trunk.
    'swav': under('module.', ONLINE, projection_head=HEAD, prototypes=nn.Linear(4, 8)),
    'swav, training': {
        'epoch': 9,
        'state_dict': under('module.', ONLINE, projection_head=HEAD, prototypes=nn.Linear(4, 8)),
    },
    'swav from the hub': under('', ONLINE, projection_head=HEAD, prototypes=nn.Linear(4, 8)),
    'deepcluster': under(
        'module.', ONLINE, projection_head=HEAD, prototypes=under('prototypes0.', nn.Linear(4, 8))
    ),
    # github.com/HobbitLong/PyContrast, InfoMin's releases too: the average is not wrapped.
    'pycontrast': {
        'opt': argparse.Namespace(arch='resnet18'),
        'model': under('module.', encoder=ONLINE, head=HEAD, head_jig=HEAD),
        'model_ema': under('', encoder=MOMENTUM, head=HEAD, head_jig=HEAD),
        'contrast': {'memory': torch.ones(4, 4)},
        'epoch': 200,
    },
    # github.com/facebookresearch/{barlowtwins,vicreg}
    'barlow twins': {
        'epoch': 1000,
        'model': under('module.', backbone=ONLINE, projector=HEAD, bn=nn.BatchNorm1d(4)),
        'optimizer': {'state': {}, 'param_groups': []},
    },
    'barlow twins, released': ONLINE,
    # github.com/facebookresearch/vissl
    'vissl': {
        'phase_idx': 9,
        'classy_state_dict': {
            'base_model': {
                'model': {
                    'trunk': under('_feature_blocks.', ONLINE),
                    'heads': under('0.clf.0.', HEAD),
                },
                'meta': {},
            }
        },
        'type': 'consolidated',
    },
    # github.com/lightly-ai/lightly, examples
    'lightly': lightning(
        under(
            '',
            backbone=children(NETWORKS[0]),
            backbone_momentum=children(NETWORKS[1]),
            projection_head=HEAD,
        )
    ),
    'lightly without lightning': under('backbone.', children(NETWORKS[0])),
    # github.com/vturrisi/solo-learn, now and before
    'solo-learn': lightning(
        under('', backbone=ONLINE, momentum_backbone=MOMENTUM, projector=HEAD, classifier=HEAD)
    ),
    'solo-learn 1.0.3': lightning(
        under('', encoder=ONLINE, momentum_encoder=MOMENTUM, projector=HEAD)
    ),
    'lightning, model': lightning(under('model.', {**ONLINE, **under('fc.', HEAD)})),
    'lightning, model.backbone': lightning(under('model.backbone.', ONLINE)),
    # github.com/facebookresearch/moco, of one process
    'moco': {
        'arch': 'resnet18',
        'state_dict': under(
            '',
            {'queue': torch.ones(4, 8)},
            encoder_q={**ONLINE, **under('fc.', HEAD)},
            encoder_k={**MOMENTUM, **under('fc.', HEAD)},
        ),
    },
    'moco v3': {
        'state_dict': under(
            '',
            base_encoder={**ONLINE, **under('fc.', HEAD)},
            momentum_encoder={**MOMENTUM, **under('fc.', HEAD)},
        )
    },
    # torchvision's references/classification with --model-ema
    'torchvision': {
        'model': {**ONLINE, **under('fc.', nn.Linear(4, 2))},
        'model_ema': AVERAGE.state_dict(),
        'args': argparse.Namespace(model='resnet18'),
    },
    # torch.compile of the whole, and of a part
    'compiled': under('_orig_mod.', ONLINE),
    'compiled and parallel': {'state_dict': under('module._orig_mod.backbone.', ONLINE)},
    'compiled backbone': {'state_dict': under('backbone._orig_mod.', ONLINE)},
    'float64': {k: v.double() if v.is_floating_point() else v for k, v in ONLINE.items()},
}
WITH_AVERAGE = {
    'pycontrast', 'lightly', 'solo-learn', 'solo-learn 1.0.3', 'moco', 'moco v3', 'torchvision',
}  # fmt: skip


@pytest.mark.parametrize('name', LAYOUTS)
def test_layout(tmp_path, name):
    path = tmp_path / 'checkpoint.pth'
    torch.save(LAYOUTS[name], path)
    assert_same_weights(backbone_weights(path), ONLINE)
    if name in WITH_AVERAGE:
        assert_same_weights(backbone_weights(path, 'momentum'), MOMENTUM)
    else:
        with pytest.raises(CheckpointError, match='has no momentum backbone'):
            backbone_weights(path, 'momentum')


@pytest.mark.parametrize('name', [name for name in LAYOUTS if name != 'float64'])
def test_layouts_are_read_strictly(tmp_path, name):
    """A weight less and a weight more are named, in every layout."""

    def change(content, change_trunk):
        if isinstance(content, dict):
            key = next((k for k in content if str(k).endswith('conv2.weight')), None)
            if key and '0.conv2' in key:
                return change_trunk(dict(content), key)
            return {k: change(v, change_trunk) for k, v in content.items()}
        return content

    def less(weights, key):
        del weights[key]
        return weights

    def more(weights, key):
        weights[key.replace('conv2', 'conv4')] = torch.ones(2)
        return weights

    for change_trunk, word in ((less, '1 missing'), (more, '1 unexpected')):
        path = tmp_path / f'{word}.pth'
        torch.save(change(LAYOUTS[name], change_trunk), path)
        with pytest.raises(CheckpointError, match=word) as error:
            backbone_weights(path)
        assert str(path) in str(error.value)


def test_compiled_and_plain_weights_beside_each_other(tmp_path):
    torch.save({**ONLINE, **under('_orig_mod.', ONLINE)}, tmp_path / 'twice.pth')
    with pytest.raises(CheckpointError, match='has weights twice'):
        backbone_weights(tmp_path / 'twice.pth')


def test_emahook(tmp_path):
    """mmengine's EMAHook saves the average as state_dict, the weights as ema_state_dict."""
    content = {
        'meta': {'epoch': 2},
        'state_dict': under('backbone.', MOMENTUM),
        'ema_state_dict': {'steps': torch.tensor(4), **under('module.backbone.', ONLINE)},
    }
    path = tmp_path / 'epoch_2.pth'
    torch.save(content, path)
    assert_same_weights(backbone_weights(path), ONLINE)
    assert_same_weights(backbone_weights(path, 'momentum'), MOMENTUM)
    made = convert(path, tmp_path / 'out.pth', 'torchvision', 'momentum')
    assert made['format'] == 'mm with EMAHook'
    assert made['available'] == ['online', 'momentum']

    # A method's own momentum encoder comes before the average of the whole model.
    third = randomise(torchvision.models.resnet18(), 3)
    third.fc = nn.Identity()
    content['state_dict'] |= under('encoder_k.module.0.', ONLINE)
    content['ema_state_dict'] |= under('module.encoder_k.module.0.', third)
    torch.save(content, path)
    assert_same_weights(backbone_weights(path), ONLINE)
    assert_same_weights(backbone_weights(path, 'momentum'), third.state_dict())


@pytest.mark.parametrize(
    'backbone, told',
    [
        ("type='ResNet', depth=18, style='caffe'", "style 'caffe' instead of 'pytorch'"),
        ("type='mmpretrain.ResNet', depth=18, dilations=(1, 1, 2, 4)", 'dilations (1, 1, 2, 4)'),
        ("type='ResNet', depth=18, strides=[1, 2, 2, 1]", 'strides (1, 2, 2, 1)'),
        ("type='ResNet', depth=18, norm_cfg=dict(type='BN', eps=0.001)", 'eps 0.001'),
        ("type='ResNet', depth=34", 'depth 34 instead of 18'),
    ],
)
def test_facts_of_the_file_are_not_contradicted(tmp_path, backbone, told):
    config = f'model = dict(type="MoCo", backbone=dict({backbone}))\n'
    path = tmp_path / 'epoch_1.pth'
    torch.save({'meta': {'cfg': config}, 'state_dict': under('backbone.', ONLINE)}, path)
    for to, name in (('torchvision', 'a.pth'), ('detectron2', 'a.pkl'), ('mmdet', 'a.pth')):
        with pytest.raises(CheckpointError) as error:
            convert(path, tmp_path / name, to)
        assert told in str(error.value) and str(path) in str(error.value)
    if 'depth 34' not in told:
        made = convert(path, tmp_path / 'a.pth', 'mm')
        assert made['algorithm'] == 'MoCo' and made['facts'] != {}


def test_arch_is_not_contradicted(tmp_path):
    torch.save({'arch': 'resnet50', 'state_dict': under('module.', ONLINE)}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='depth 50 instead of 18'):
        backbone_weights(tmp_path / 'a.pth')
