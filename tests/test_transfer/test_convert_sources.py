"""Backbones are found in the checkpoints of every program that trains them."""

import argparse
import pickle
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
from resnets import assert_same_weights, randomise, save_mm, stage_outputs
from torch import nn

import mmjoint  # noqa: F401  registers what the configs name
from mmjoint.checkpoints import CheckpointError, backbone_weights, convert, read_checkpoint

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
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


@pytest.mark.parametrize(
    'method',
    [
        method
        if method in ('simclr', 'mocov3', 'dino')
        else pytest.param(method, marks=pytest.mark.slow)
        for method in MOVING_AVERAGES
    ],
)
def test_our_algorithms(method, tmp_path):
    folder = CONFIGS / method
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


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_other_precisions_become_float32(tmp_path, dtype):
    model = randomise(torchvision.models.resnet18())
    other = {k: v.to(dtype) if v.is_floating_point() else v for k, v in model.state_dict().items()}
    torch.save(other, tmp_path / 'other.pth')
    convert(tmp_path / 'other.pth', tmp_path / 'out.pkl', 'detectron2')
    weights = read_checkpoint(tmp_path / 'out.pkl')['model']
    assert torch.equal(weights['stem.conv1.weight'], other['conv1.weight'].float())
    assert torch.equal(weights['res5.1.conv2.weight'], other['layer4.1.conv2.weight'].float())


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
