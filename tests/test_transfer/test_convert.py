"""Backbones keep their features and every bit on the way between programs."""

import hashlib
import json
import pickle
import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from mmengine.config import Config
from mmpretrain.models import ResNet
from resnets import (
    assert_same_features,
    assert_same_weights,
    mm_resnet,
    stage_outputs,
    without_weights,
)
from torch import nn

import mmjoint
from mmjoint.checkpoints import convert, read_provenance, resnet_keys

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).with_name('data')
# 101 has the keys of 50, more of them: test_keys_are_the_networks_own.
DEPTHS = [18, 34, 50, pytest.param(101, marks=pytest.mark.slow)]


@pytest.mark.parametrize(
    'depth', [18, 50, *(pytest.param(depth, marks=pytest.mark.slow) for depth in (34, 101))]
)
@torch.no_grad()
def test_same_features_in_torchvision_and_timm(checkpoints, tmp_path, depth):
    checkpoint, backbone = checkpoints(depth)
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


@torch.no_grad()
def test_folder_for_timm(tmp_path):
    """timm loads the folder as it is, with the checkpoint's normalization; the card tells whose."""
    checkpoint, backbone = tmp_path / 'epoch_3.pth', mm_resnet(18)
    cfg = dict(
        model=dict(type='SimCLR'),
        data_preprocessor=dict(mean=[51, 102, 153], std=[51, 51, 102], to_rgb=True),
    )
    meta = dict(epoch=3, iter=12, cfg=Config(cfg).pretty_text)
    weights = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    torch.save(dict(state_dict=weights, meta=meta), checkpoint)
    folder = tmp_path / 'made'
    made = convert(checkpoint, folder, 'timm')
    assert sorted(p.name for p in folder.iterdir()) == [
        'README.md',
        'config.json',
        'model.safetensors',
    ]
    model = timm.create_model(f'local-dir:{folder}', pretrained=True).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert_same_features(stage_outputs(model, images), backbone(images))
    assert model(images).shape == (2, 512) and model.num_features == 512
    settings = timm.data.resolve_model_data_config(model)
    assert tuple(settings['mean']) == (0.2, 0.4, 0.6)
    assert tuple(settings['std']) == (0.2, 0.2, 0.4)
    card = (folder / 'README.md').read_text()
    assert card.startswith('---\nlibrary_name: timm\n') and made['sha256'] in card
    assert '| method | SimCLR |' in card and 'that of the checkpoint.' in card
    with pytest.raises(FileExistsError, match='made: exists already'):
        convert(checkpoint, folder, 'timm')


@pytest.mark.parametrize('depth', DEPTHS)
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

    checkpoint, backbone = checkpoints(depth)
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
    convert(checkpoints(50)[0], tmp_path / 'd2.pkl', 'detectron2')
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
    checkpoint, backbone = checkpoints(depth)
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
        'facts': {},  # the file's config says nothing about the ResNet
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


def test_command(r18, tmp_path, run_tool):
    arguments = [r18[0], 'made/out.pkl', '--to', 'detectron2', '--depth', 18]
    status, out, err = run_tool(ROOT / 'transfer/convert.py', *arguments)
    assert status == 0, err
    line = out.splitlines()[-1]
    assert line.startswith(
        'wrote made/out.pkl for detectron2: ResNet-18, 7x7 stem, online backbone'
    )
    assert 'algorithm MoCo, epoch 200' in line
    assert read_provenance(tmp_path / 'made/out.pkl')['sha256']


def test_folders_of_the_engines_hide_no_package():
    """`python transfer/convert.py` puts transfer/ first on sys.path."""
    assert not list((ROOT / 'transfer').rglob('__init__.py'))
    spec = PathFinder.find_spec('torchvision', [str(ROOT / 'transfer'), *sys.path])
    assert spec.origin == torchvision.__file__
