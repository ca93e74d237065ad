"""Backbones keep their features and every bit on the way between programs, or are refused."""

import argparse
import hashlib
import json
import os
import pickle
import re
import runpy
import shutil
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.models import ResNet, ResNet_CIFAR
from mmpretrain.registry import MODELS
from torch import nn

import mmjoint
from mmjoint.checkpoints import (
    CheckpointError,
    backbone_weights,
    convert,
    read_checkpoint,
    read_provenance,
    resnet_keys,
)

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).with_name('data')
STAGES = ('layer1', 'layer2', 'layer3', 'layer4')


def randomise(model, seed=0):
    """Give batch norms the statistics and factors of a trained network, not 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for name, value in module.state_dict().items():
                if name == 'num_batches_tracked':
                    value.fill_(1234 + seed)
                elif name in ('weight', 'running_var'):
                    value.uniform_(0.5, 1.5, generator=generator)
                else:
                    value.normal_(0, 0.2, generator=generator)
    model.eval()  # which returns nothing in mmpretrain
    return model


def mm_resnet(depth, seed=0):
    torch.manual_seed(seed)
    return randomise(ResNet(depth, out_indices=(0, 1, 2, 3), zero_init_residual=False), seed)


def save_mm(path, backbone, **more):
    """Write a checkpoint as mmengine does: the backbone among other weights, and what is known."""
    weights = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    weights |= {'neck.fc0.weight': torch.ones(4, 4), 'queue': torch.ones(8, 16)}
    config = "default_scope = 'mmpretrain'\nmodel = dict(\n    neck=dict(type='A'), type='MoCo')\n"
    meta = {'epoch': 200, 'iter': 1000, 'cfg': config}
    torch.save({'meta': meta, 'state_dict': weights} | more, path)
    return path


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    """Checkpoint and backbone of each depth."""
    folder = tmp_path_factory.mktemp('checkpoints')
    backbones = {depth: mm_resnet(depth) for depth in (18, 34, 50, 101)}
    yield {d: (save_mm(folder / f'r{d}.pth', b), b) for d, b in backbones.items()}
    shutil.rmtree(folder)


@pytest.fixture
def tmp_path(tmp_path):
    """Keep nothing: pytest would keep gigabytes of weights of the last runs."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.fixture
def r18(checkpoints):
    return checkpoints[18]


def without_weights(name):
    """Build a network of torchvision's of names and shapes alone."""
    with torch.device('meta'):
        return getattr(torchvision.models, name)()


def stage_outputs(model, images):
    """Outputs of layer1 to layer4 of torchvision's or timm's ResNet."""
    outputs = []
    hooks = [
        getattr(model, stage).register_forward_hook(lambda *args: outputs.append(args[2]))
        for stage in STAGES
    ]
    model.eval()
    model(images)
    for hook in hooks:
        hook.remove()
    return outputs


def assert_same_features(outputs, expected):
    assert len(outputs) == len(expected) == 4
    for output, reference in zip(outputs, expected, strict=True):
        assert output.shape == reference.shape
        assert reference.std() > 0.1
        assert (output - reference).abs().max() <= 1e-5 * reference.abs().max()


def assert_same_weights(weights, reference):
    assert weights.keys() == reference.keys()
    for key, value in reference.items():
        assert weights[key].dtype == value.dtype, key
        assert torch.equal(weights[key], value), key


@pytest.mark.parametrize('depth', [18, 34, 50, 101])
@torch.no_grad()
def test_same_features_in_torchvision_and_timm(checkpoints, tmp_path, depth):
    checkpoint, backbone = checkpoints[depth]
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    expected = backbone(images)

    for_torchvision = tmp_path / 'torchvision.pth'
    convert(checkpoint, for_torchvision, 'torchvision')
    model = without_weights(f'resnet{depth}')
    model.fc = nn.Identity()
    model.load_state_dict(torch.load(for_torchvision), assign=True)
    assert_same_features(stage_outputs(model, images), expected)

    for name in ('timm.pth', 'timm.safetensors')[: 2 if depth == 18 else 1]:
        convert(checkpoint, tmp_path / name, 'timm')
        # timm loads strictly; without a classifier there is nothing else to load.
        model = timm.create_model(
            f'resnet{depth}', num_classes=0, checkpoint_path=str(tmp_path / name)
        )
        assert_same_features(stage_outputs(model, images), expected)


@pytest.mark.parametrize('depth', [18, 34, 50, 101])
@torch.no_grad()
def test_same_features_in_detectron2(checkpoints, tmp_path, depth):
    pytest.importorskip('detectron2.modeling', reason='detectron2 is built from its repository')
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.config import get_cfg
    from detectron2.modeling import build_backbone

    cfg = get_cfg()
    cfg.MODEL.RESNETS.DEPTH = depth
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    cfg.MODEL.RESNETS.NORM = 'BN'
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.OUT_FEATURES = ['res2', 'res3', 'res4', 'res5']
    if depth < 50:
        cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    model = nn.ModuleDict({'backbone': build_backbone(cfg)}).eval()

    checkpoint, backbone = checkpoints[depth]
    provenance = convert(checkpoint, tmp_path / 'd2.pkl', 'detectron2')
    loaded = DetectionCheckpointer(model).load(str(tmp_path / 'd2.pkl'))
    assert loaded['mmjoint'] == provenance  # detectron2 hands on what it does not know
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert_same_features(list(model['backbone'](images).values()), backbone(images))


@pytest.mark.parametrize(
    ('file', 'prefixes'),
    [
        ('detectron2_r50_c4.json', {'stem': 'backbone.', 'res5': 'roi_heads.'}),
        ('detectron2_r50_fpn.json', {'stem': 'backbone.bottom_up.', 'res5': 'backbone.bottom_up.'}),
    ],
)
def test_names_and_shapes_are_detectron2s(checkpoints, tmp_path, file, prefixes):
    convert(checkpoints[50][0], tmp_path / 'd2.pkl', 'detectron2')
    with open(tmp_path / 'd2.pkl', 'rb') as stream:
        content = pickle.load(stream)
    assert content['matching_heuristics'] is True
    assert content['__author__'] != 'Caffe2'  # whose names detectron2 would convert
    assert all(isinstance(value, np.ndarray) for value in content['model'].values())

    detector = json.loads((DATA / file).read_text())
    body = {
        re.sub(r'^(backbone\.bottom_up|backbone|roi_heads)\.', '', name): (name, shape)
        for name, shape in detector.items()
        if re.search(r'\.(stem|res[2-5])\.', f'.{name}')
    }
    assert {name: list(value.shape) for name, value in content['model'].items()} == {
        name: shape for name, (_, shape) in body.items()
    }
    for stage, prefix in prefixes.items():
        assert {n for n, _ in body.values() if f'{stage}.' in n} == {
            f'{prefix}{name}' for name in content['model'] if name.startswith(f'{stage}.')
        }
    # Its rule is the longest common end of the names; each must be that of one weight alone.
    for name in content['model']:
        assert [n for n in detector if n == name or n.endswith(f'.{name}')] == [body[name][0]]


@pytest.mark.parametrize('depth', [18, 34, 50, 101])
def test_keys_are_the_networks_own(depth):
    """Against the network as torchvision builds it."""
    expected = without_weights(f'resnet{depth}').state_dict()
    expected = {key: tuple(v.shape) for key, v in expected.items() if not key.startswith('fc.')}
    assert {name: shape for name, _, shape in resnet_keys(depth)} == expected


@pytest.mark.parametrize(
    ('to', 'name', 'depth'),
    [
        ('detectron2', 'a.pkl', 18),
        ('detectron2', 'a.pkl', 50),
        ('timm', 'a.pth', 50),
        ('timm', 'a.safetensors', 18),
        ('torchvision', 'a.pth', 18),
        ('mmdet', 'a.pth', 18),
    ],
)
def test_round_trip_is_bit_identical(checkpoints, tmp_path, to, name, depth):
    checkpoint, backbone = checkpoints[depth]
    there = convert(checkpoint, tmp_path / name, to)
    back = convert(tmp_path / name, tmp_path / 'back.pth', 'mm')
    content = torch.load(tmp_path / 'back.pth', weights_only=True)
    expected = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    assert_same_weights(content['state_dict'], expected)
    assert back['origin'] == there
    assert (back['depth'], back['epoch']) == (depth, None)

    model = ResNet(depth)
    mmjoint.checkpoints.load_backbone(model, tmp_path / 'back.pth')
    assert_same_weights(model.state_dict(), backbone.state_dict())


def test_provenance(r18, tmp_path):
    checkpoint, _ = r18
    expected = {
        'source': 'r18.pth',
        'sha256': hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        'format': 'mm',
        'which': 'online',
        'available': ['online'],
        'prefix': 'backbone.',
        'algorithm': 'MoCo',
        'epoch': 200,
        'iter': 1000,
        'depth': 18,
        'stem': '7x7',
        'mmjoint': mmjoint.__version__,
    }
    for to, name in (
        ('detectron2', 'a.pkl'),
        ('torchvision', 'a.pth'),
        ('timm', 'b.pth'),
        ('timm', 'c.safetensors'),
        ('mmdet', 'd.pth'),
        ('mm', 'e.pth'),
    ):
        assert convert(checkpoint, tmp_path / name, to) == expected
        assert read_provenance(tmp_path / name) == expected
    assert read_provenance(checkpoint) is None


def test_files_hold_no_more_than_the_backbone(r18, tmp_path):
    checkpoint, backbone = r18
    size = sum(value.nbytes for value in backbone.state_dict().values())
    for to, name in (('detectron2', 'a.pkl'), ('torchvision', 'a.pth'), ('mmdet', 'b.pth')):
        convert(checkpoint, tmp_path / name, to)
        assert (tmp_path / name).stat().st_size < size + 100_000


# Sources


# Where the moving average of the backbone is in the models of our configs.
MOVING_AVERAGES = {
    'simclr': None,
    'simsiam': None,
    'swav': None,
    'mocov1': lambda model: model.encoder_k.module[0],
    'mocov2': lambda model: model.encoder_k.module[0],
    'mocov3': lambda model: model.momentum_encoder.module[0],
    'byol': lambda model: model.target_net.module[0],
    'dino': lambda model: model.teacher['backbone'],
    'leoclr': lambda model: model.encoder_k.module[0],
}


@pytest.mark.parametrize('method', MOVING_AVERAGES)
def test_our_algorithms(method, tmp_path):
    folder = ROOT / 'configs' / method
    # The small ones have small heads; the backbone is replaced anyway.
    configs = sorted(folder.glob('*tiny-imagenet.py')) or sorted(folder.glob('*in1k.py'))
    cfg = Config.fromfile(configs[0])
    cfg.model.backbone = dict(type='ResNet', depth=18, norm_cfg=dict(type='BN'))
    if 'queue_len' in cfg.model:
        cfg.model.queue_len = 64
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    path = tmp_path / 'epoch_100.pth'
    randomise(model.backbone, 1)
    torch.save({'state_dict': model.state_dict(), 'meta': {'cfg': cfg.pretty_text}}, path)
    assert_same_weights(backbone_weights(path), model.backbone.state_dict())
    assert convert(path, tmp_path / 'out.pth', 'mm')['algorithm'] == cfg.model.type

    average = MOVING_AVERAGES[method]
    if average is None:
        with pytest.raises(CheckpointError, match='no momentum backbone'):
            backbone_weights(path, 'momentum')
        return
    randomise(average(model), 2)
    torch.save({'state_dict': model.state_dict()}, path)
    assert_same_weights(backbone_weights(path, 'momentum'), average(model).state_dict())
    assert_same_weights(backbone_weights(path), model.backbone.state_dict())


class Wrapped(nn.Module):
    """A network under the name ``module``, as DistributedDataParallel has it."""

    def __init__(self, module):
        super().__init__()
        self.module = module


class TwoEncoders(nn.Module):
    """The layout of the models of MoCo's own repositories."""

    def __init__(self, names, fc):
        super().__init__()
        for seed, name in enumerate(names):
            encoder = randomise(torchvision.models.resnet18(), seed)
            encoder.fc = fc()
            self.add_module(name, encoder)
        self.register_buffer('queue', torch.randn(128, 16))
        self.predictor = nn.Linear(8, 8)


def moco_head():
    return nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 128))


def mocov3_head():
    return nn.Sequential(nn.Linear(512, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU())


def without_fc(model):
    return {key: value for key, value in model.state_dict().items() if not key.startswith('fc.')}


@pytest.mark.parametrize(
    ('names', 'fc', 'format'),
    [
        (('encoder_q', 'encoder_k'), lambda: nn.Linear(512, 128), 'MoCo v1/v2'),
        (('encoder_q', 'encoder_k'), moco_head, 'MoCo v1/v2'),
        (('base_encoder', 'momentum_encoder'), mocov3_head, 'MoCo v3'),
    ],
)
def test_mocos_own_checkpoints(tmp_path, names, fc, format):
    model = TwoEncoders(names, fc)
    path = tmp_path / 'checkpoint_0199.pth.tar'
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9).state_dict()
    content = {'epoch': 200, 'arch': 'resnet18', 'state_dict': Wrapped(model).state_dict()}
    torch.save(content | {'optimizer': optimizer}, path)
    for which, name in zip(('online', 'momentum'), names, strict=True):
        assert_same_weights(backbone_weights(path, which), without_fc(getattr(model, name)))
    provenance = convert(path, tmp_path / 'out.pth', 'mm')
    assert (provenance['format'], provenance['epoch']) == (format, 200)
    assert provenance['available'] == ['online', 'momentum']

    # The released files have the query encoder alone.
    content['state_dict'] = {
        key: value for key, value in content['state_dict'].items() if f'.{names[0]}.' in key
    }
    torch.save(content, path)
    assert_same_weights(backbone_weights(path), without_fc(getattr(model, names[0])))
    with pytest.raises(CheckpointError, match='no momentum backbone; it has online under module.'):
        backbone_weights(path, 'momentum')


@pytest.mark.parametrize('teacher_prefix', ['module.', ''])
def test_dinos_own_checkpoints(tmp_path, teacher_prefix):
    networks = {}
    for seed, name in enumerate(('student', 'teacher')):
        backbone = randomise(torchvision.models.resnet18(), seed)
        backbone.fc = nn.Identity()
        networks[name] = nn.ModuleDict({'backbone': backbone, 'head': nn.Linear(4, 4)})
    content = {'student': Wrapped(networks['student']).state_dict()}
    content['teacher'] = {
        teacher_prefix + key: value for key, value in networks['teacher'].state_dict().items()
    }
    content |= {'epoch': 100, 'args': argparse.Namespace(arch='resnet18', lr=0.3)}
    path = tmp_path / 'dino_resnet50_pretrain_full_checkpoint.pth'
    torch.save(content, path)
    for which, name in (('online', 'student'), ('momentum', 'teacher')):
        weights = networks[name]['backbone'].state_dict()
        assert_same_weights(backbone_weights(path, which), weights)

    backbone_only = tmp_path / 'dino_resnet50_pretrain.pth'
    torch.save(networks['teacher']['backbone'].state_dict(), backbone_only)
    weights = networks['teacher']['backbone'].state_dict()
    assert_same_weights(backbone_weights(backbone_only), weights)


def test_torchvision_and_timm_checkpoints(tmp_path):
    for seed, model in enumerate(
        (torchvision.models.resnet18(), timm.create_model('resnet18', pretrained=False))
    ):
        randomise(model, seed)
        path = tmp_path / f'{seed}.pth'
        arguments = {'epoch': 90, 'args': argparse.Namespace(model='resnet18')}
        for content in (
            model.state_dict(),
            {'model': model.state_dict()} | arguments,
            {'state_dict': Wrapped(model).state_dict()} | arguments,
        ):
            torch.save(content, path)
            assert_same_weights(backbone_weights(path), without_fc(model))
    ema = randomise(timm.create_model('resnet18'), 3)
    torch.save({'state_dict': model.state_dict(), 'state_dict_ema': ema.state_dict()}, path)
    assert_same_weights(backbone_weights(path, 'momentum'), without_fc(ema))
    assert_same_weights(backbone_weights(path), without_fc(model))


@pytest.mark.parametrize(
    'names',
    [
        ('encoder_q', 'encoder_k'),
        ('online_net', 'target_net'),
        ('base_encoder', 'momentum_encoder'),
    ],
)
def test_mmselfsup_0x_checkpoints(tmp_path, names):
    """Of before 1.0, where the backbone is in the file twice: alone, and before its neck."""
    online, average = (randomise(ResNet(18), seed) for seed in (1, 2))
    model = nn.ModuleDict(
        {
            names[0]: nn.Sequential(online, nn.Linear(4, 4)),
            names[1]: nn.Sequential(average, nn.Linear(4, 4)),
            'backbone': online,
        }
    )
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'epoch_200.pth')
    weights = backbone_weights(tmp_path / 'epoch_200.pth')
    assert_same_weights(weights, online.state_dict())
    weights = backbone_weights(tmp_path / 'epoch_200.pth', 'momentum')
    assert_same_weights(weights, average.state_dict())


def test_detectron2s_own_files(r18, tmp_path):
    """With a classifier under its stem, and without counters of batches."""
    checkpoint, backbone = r18
    convert(checkpoint, tmp_path / 'a.pkl', 'detectron2')
    weights = pickle.loads((tmp_path / 'a.pkl').read_bytes())['model']
    weights = {key: value for key, value in weights.items() if 'num_batches' not in key}
    weights['stem.fc.weight'] = np.ones((1000, 512), 'f')
    content = {'model': weights, '__author__': 'torchvision', 'matching_heuristics': True}
    (tmp_path / 'r18.pkl').write_bytes(pickle.dumps(content))
    found = backbone_weights(tmp_path / 'r18.pkl')
    for key, value in backbone.state_dict().items():
        assert torch.equal(found[key], 0 * value if 'num_batches' in key else value), key


def test_counters_that_old_files_lack_are_zero(tmp_path):
    model = randomise(torchvision.models.resnet18())
    weights = {k: v for k, v in model.state_dict().items() if 'num_batches' not in k}
    torch.save(weights, tmp_path / 'old.pth')
    found = backbone_weights(tmp_path / 'old.pth')
    counters = {key: value for key, value in found.items() if 'num_batches' in key}
    assert len(counters) == 20
    assert all(value.dtype == torch.int64 and value == 0 for value in counters.values())
    assert_same_weights({k: v for k, v in found.items() if k not in counters}, {
        k: v for k, v in weights.items() if not k.startswith('fc.')
    })  # fmt: skip


def test_half_precision_is_widened_and_double_refused(tmp_path):
    model = torchvision.models.resnet18()
    half = {k: v.bfloat16() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    torch.save(half, tmp_path / 'half.pth')
    convert(tmp_path / 'half.pth', tmp_path / 'out.pkl', 'detectron2')
    weights = read_checkpoint(tmp_path / 'out.pkl')['model']
    assert torch.equal(weights['stem.conv1.weight'], half['conv1.weight'].float())
    torch.save(model.double().state_dict(), tmp_path / 'double.pth')
    with pytest.raises(CheckpointError, match=r'conv1\.weight torch\.float64'):
        backbone_weights(tmp_path / 'double.pth')


def test_small_image_stem(tmp_path):
    torch.manual_seed(0)
    backbone = randomise(ResNet_CIFAR(18, zero_init_residual=False))
    checkpoint = save_mm(tmp_path / 'small.pth', backbone)
    for to, name in (('detectron2', 'a.pkl'), ('mmdet', 'a.pth')):
        with pytest.raises(CheckpointError, match=rf"\(64, 3, 3, 3\), .*{to}'s ResNet lacks"):
            convert(checkpoint, tmp_path / name, to)
        assert not (tmp_path / name).exists()

    assert convert(checkpoint, tmp_path / 'a.pth', 'torchvision')['stem'] == '3x3'
    model = torchvision.models.resnet18()
    model.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    model.maxpool = nn.Identity()
    model.load_state_dict(torch.load(tmp_path / 'a.pth'), strict=False)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        (expected,) = backbone(images)
        assert (
            stage_outputs(model, images)[3] - expected
        ).abs().max() <= 1e-5 * expected.abs().max()


# Refusals: each with its reason, and no file left


def fails(checkpoint, tmp_path, message, **arguments):
    before = sorted(tmp_path.rglob('*'))
    for to, name in (('detectron2', 'out.pkl'), ('timm', 'out.safetensors')):
        with pytest.raises(CheckpointError, match=message) as error:
            convert(checkpoint, tmp_path / name, to, **arguments)
        assert str(checkpoint) in str(error.value)
        assert '\n' not in str(error.value)
    assert sorted(tmp_path.rglob('*')) == before


@pytest.fixture
def damaged(r18, tmp_path):
    """Save the checkpoint of ResNet-18 with some of its weights changed."""

    def _damaged(change):
        content = torch.load(r18[0], weights_only=True)
        content['state_dict'] = change(content['state_dict'])
        torch.save(content, tmp_path / 'damaged.pth')
        return tmp_path / 'damaged.pth'

    return _damaged


def test_wrong_prefix_is_refused(damaged, tmp_path):
    path = damaged(lambda w: {f'model.{key}': value for key, value in w.items()})
    fails(
        path,
        tmp_path,
        r'no ResNet under a known prefix; the file has model\.backbone\.conv1\.weight',
    )


def test_missing_last_stage_is_refused(damaged, tmp_path):
    path = damaged(lambda w: {key: value for key, value in w.items() if 'layer4' not in key})
    fails(path, tmp_path, r'ResNet-18, .*: 30 missing \(layer4\.0\.conv1\.weight, ')


def test_missing_stem_is_refused(damaged, tmp_path):
    path = damaged(lambda w: {key: value for key, value in w.items() if key[:12] != 'backbone.con'})
    fails(path, tmp_path, r'ResNet-18, .*: 1 missing \(conv1\.weight\)')


def test_missing_counter_is_refused(damaged, tmp_path):
    path = damaged(lambda w: {k: v for k, v in w.items() if 'bn1.num_batches' not in k})
    fails(path, tmp_path, r'9 missing \(bn1\.num_batches_tracked, ')


def test_unexpected_key_is_refused(damaged, tmp_path):
    path = damaged(lambda w: w | {'backbone.layer1.2.conv1.weight': torch.ones(64, 64, 3, 3)})
    fails(path, tmp_path, r'ResNet-18, .*: 1 unexpected \(layer1\.2\.conv1\.weight\)')


def test_other_shape_is_refused(damaged, tmp_path):
    path = damaged(lambda w: w | {'backbone.layer4.0.conv1.weight': torch.ones(1024, 256, 3, 3)})
    fails(path, tmp_path, r'conv1\.weight \(1024, 256, 3, 3\) instead of \(512, 256, 3, 3\)')


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_values_that_are_not_finite_are_refused(damaged, tmp_path, value):
    path = damaged(lambda w: w | {'backbone.bn1.running_var': torch.full((64,), value)})
    fails(path, tmp_path, r'not finite .*: bn1\.running_var$')


def test_other_networks_are_refused(tmp_path):
    path = tmp_path / 'other.pth'
    torch.save({'state_dict': timm.create_model('vit_tiny_patch16_224').state_dict()}, path)
    fails(path, tmp_path, r'no ResNet under a known prefix; the file has cls_token')
    for name in ('resnet152', 'wide_resnet50_2', 'resnext50_32x4d'):
        shapes = {key: value.shape for key, value in without_weights(name).state_dict().items()}
        weights = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}
        torch.save(weights, path)
        fails(
            path,
            tmp_path,
            'ResNet-101, .* unexpected'
            if name == 'resnet152'
            else 'ResNet-50, .* of another shape',
        )


def test_another_depth_than_asked_for_is_refused(r18, tmp_path):
    fails(r18[0], tmp_path, 'holds a ResNet-18; expected 50', depth=50)
    assert convert(r18[0], tmp_path / 'out.pkl', 'detectron2', depth=18)['depth'] == 18


def test_absent_momentum_backbone_is_refused(r18, tmp_path):
    fails(r18[0], tmp_path, 'no momentum backbone; it has online under backbone', which='momentum')


@pytest.mark.parametrize('suffix', ['.pth', '.pkl', '.safetensors'])
def test_truncated_file_is_refused(r18, tmp_path, suffix):
    whole = tmp_path / f'whole{suffix}'
    to = {'.pth': 'torchvision', '.pkl': 'detectron2', '.safetensors': 'timm'}[suffix]
    convert(r18[0], whole, to)
    cut = tmp_path / f'cut{suffix}'
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    fails(cut, tmp_path, 'not a readable')


class Payload:
    """Unpickling it makes the file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, 'w')


def test_malicious_pickles_are_refused(r18, tmp_path):
    ran = tmp_path / 'ran'
    content = torch.load(r18[0], weights_only=True) | {'hook': Payload(ran)}
    torch.save(content, tmp_path / 'evil.pth')
    fails(tmp_path / 'evil.pth', tmp_path, r'holds [\w.]*open, which is neither')
    weights = {'stem.conv1.weight': np.ones(3), 'hook': Payload(ran)}
    (tmp_path / 'evil.pkl').write_bytes(pickle.dumps({'model': weights, '__author__': 'x'}))
    fails(tmp_path / 'evil.pkl', tmp_path, r'holds [\w.]*open, which is neither')
    assert not ran.exists()

    # A user who trusts the file gets it read, and the code in it run.
    convert(tmp_path / 'evil.pth', tmp_path / 'out.pth', 'mm', trust=True)
    assert ran.exists()


def test_output_that_cannot_be_is_refused(r18, tmp_path):
    with pytest.raises(CheckpointError, match=r'out\.pth: detectron2 reads \.pkl files'):
        convert(r18[0], tmp_path / 'out.pth', 'detectron2')
    with pytest.raises(CheckpointError, match="'keras' is no target; expected one of detectron2"):
        convert(r18[0], tmp_path / 'out.pth', 'keras')
    with pytest.raises(CheckpointError, match='would take the place of the checkpoint'):
        convert(r18[0], r18[0], 'mm')


def test_what_was_there_survives_a_failure(r18, tmp_path, damaged):
    out = tmp_path / 'out.pkl'
    convert(r18[0], out, 'detectron2')
    before = out.read_bytes()
    with pytest.raises(CheckpointError):
        convert(damaged(lambda w: {}), out, 'detectron2')
    assert out.read_bytes() == before
    if os.path.exists('/dev/full'):
        (tmp_path / '.out.pkl.partial').symlink_to('/dev/full')
        with pytest.raises(OSError, match='No space left'):
            convert(r18[0], out, 'detectron2')
        assert out.read_bytes() == before
        assert not (tmp_path / '.out.pkl.partial').is_symlink()


# The command


def test_command(r18, tmp_path):
    arguments = [r18[0], 'made/out.pkl', '--to', 'detectron2', '--depth', 18]
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', ROOT / 'transfer/convert.py', *map(str, arguments)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    line = done.stdout.splitlines()[-1]
    assert line.startswith(
        'wrote made/out.pkl for detectron2: ResNet-18, 7x7 stem, online backbone'
    )
    assert 'algorithm MoCo, epoch 200' in line
    assert read_provenance(tmp_path / 'made/out.pkl')['sha256']


def test_command_refuses_in_one_line(r18, tmp_path, monkeypatch, capsys):
    arguments = [r18[0], tmp_path / 'o.pkl', '--to', 'detectron2', '--which', 'momentum']
    monkeypatch.setattr(sys, 'argv', ['convert.py', *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / 'transfer/convert.py'), run_name='__main__')
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'error: {r18[0]}: has no momentum backbone')
    assert not (tmp_path / 'o.pkl').exists()


def test_folders_of_the_engines_hide_no_package():
    """`python transfer/convert.py` puts transfer/ first on sys.path."""
    assert not list((ROOT / 'transfer').rglob('__init__.py'))
    spec = PathFinder.find_spec('torchvision', [str(ROOT / 'transfer'), *sys.path])
    assert spec.origin == torchvision.__file__
