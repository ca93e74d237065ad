"""Configs in mmselfsup's form against what mmpretrain ships for the same method."""

from pathlib import Path

import mmpretrain
import pytest
from mmengine.config import Config

from mmjoint.engine.make_joint import make_joint

STOCK = Path(mmpretrain.__file__).parent / '.mim/configs'
JITTER = """dict(
    type='RandomApply', prob=0.8,
    transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation={}, hue=0.1)])"""
GRAY = """dict(
    type='RandomGrayscale', prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989))"""
RUNTIME = """
default_scope = 'mmselfsup'
visualizer = dict(type='SelfSupVisualizer', vis_backends=[dict(type='LocalVisBackend')])
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiView', num_views=numbers, transforms=views),
    dict(type='PackSelfSupInputs', meta_keys=['img_path'])]
train_dataloader = dict(
    batch_size=32, sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='mmcls.ImageNet', data_root='data/imagenet', pipeline=train_pipeline))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='LARS', lr=4.8))
"""
MOCOV2 = f"""
views = [[
    dict(type='RandomResizedCrop', size=224, scale=(0.2, 1.0), backend='pillow'),
    {JITTER.format(0.4)},
    {GRAY},
    dict(type='RandomGaussianBlur', sigma_min=0.1, sigma_max=2.0, prob=0.5),
    dict(type='RandomFlip', prob=0.5)]]
numbers = 2
model = dict(
    type='MoCo', queue_len=65536, feat_dim=128, momentum=0.999,
    data_preprocessor=dict(mean=(0, 0, 0), std=(1, 1, 1), bgr_to_rgb=True),
    backbone=dict(type='ResNet', depth=50, out_indices=[4], norm_cfg=dict(type='BN')),
    neck=dict(
        type='MoCoV2Neck', in_channels=2048, hid_channels=2048, out_channels=128,
        with_avg_pool=True),
    head=dict(
        type='ContrastiveHead', loss=dict(type='mmcls.CrossEntropyLoss'), temperature=0.2))
"""


def byol_view(blur, solarize):
    return f"""[
    dict(type='RandomResizedCrop', size=224, interpolation='bicubic', backend='pillow'),
    dict(type='RandomFlip', prob=0.5),
    {JITTER.format(0.2)},
    {GRAY},
    dict(type='RandomGaussianBlur', sigma_min=0.1, sigma_max=2.0, prob={blur}),
    dict(type='RandomSolarize', prob={solarize})]"""


BYOL = f"""
views = [{byol_view(1.0, 0.0)}, {byol_view(0.1, 0.2)}]
numbers = [1, 1]
projector = dict(
    type='NonLinearNeck', hid_channels=4096, out_channels=256, num_layers=2, with_bias=True,
    with_last_bn=False)
model = dict(
    type='BYOL', base_momentum=0.99,
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='SyncBN')),
    neck=dict(projector, in_channels=2048, with_avg_pool=True),
    head=dict(
        type='LatentPredictHead', loss=dict(type='CosineSimilarityLoss'),
        predictor=dict(projector, in_channels=256, with_avg_pool=False)))
"""


def views_of(cfg):
    (view,) = [t for t in cfg.train_dataloader.dataset.pipeline if t['type'] == 'JointView']
    return view


@pytest.mark.parametrize(
    'text, counterpart',
    [
        (MOCOV2, 'mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py'),
        (BYOL, 'byol/byol_resnet50_16xb256-coslr-200e_in1k.py'),
    ],
)
def test_same_method_as_in_mmpretrain(tmp_path, text, counterpart):
    (tmp_path / 'config.py').write_text(text + RUNTIME)
    _, joint = make_joint(tmp_path / 'config.py', beta=None)
    _, expected = make_joint(STOCK / counterpart, beta=None)
    assert views_of(joint).to_dict() == views_of(expected).to_dict()
    assert views_of(joint).transforms[0][0].beta is None
    model = joint.model.to_dict()
    model.pop('data_preprocessor', None)
    assert model['backbone'].pop('out_indices') == [3]  # mmpretrain's default
    assert model == expected.model.to_dict()
    assert joint.default_scope == 'mmpretrain'
    assert joint.custom_imports['imports'] == ['mmjoint']
    assert joint.train_dataloader.dataset.type == 'ImageNet'
    assert joint.visualizer.type == 'UniversalVisualizer'
    assert joint.train_dataloader.dataset.pipeline[-1] == dict(
        type='PackInputs', meta_keys=['img_path']
    )


@pytest.mark.parametrize(
    'old, new, message',
    [
        ("type='MoCo'", "type='ODC'", "mmselfsup's ODC is not one of the methods"),
        ("type='ResNet'", "type='ResNetSobel'", 'ResNetSobel is not one of the backbones'),
        ('out_indices=[4]', 'out_indices=[0, 4]', r'out_indices=\[0, 4\]'),
        ('out_indices=[4]', 'frozen_stages=4', 'frozen_stages=4'),
        ('mmcls.ImageNet', 'DeepClusterImageNet', 'DeepClusterImageNet has no known equal'),
        ('sigma_min=0.1', 'sigma_min=0.1, sigma=1', 'RandomGaussianBlur has sigma, which has no'),
        ('size=224', 'size=224, efficientnet_style=True', 'RandomResizedCrop has efficientnet_'),
        ('numbers = 2', 'numbers = 3', 'num_views=3 leaves a view without its pair'),
    ],
)
def test_refusals(tmp_path, old, new, message):
    text = (MOCOV2 + RUNTIME).replace(old, new)
    assert text != MOCOV2 + RUNTIME
    (tmp_path / 'config.py').write_text(text)
    with pytest.raises(ValueError, match=rf'config.py: .*{message}'):
        make_joint(tmp_path / 'config.py')


def test_the_config_itself_stays(tmp_path):
    (tmp_path / 'config.py').write_text(MOCOV2 + RUNTIME)
    stock, _ = make_joint(tmp_path / 'config.py')
    assert stock.to_dict() == Config.fromfile(tmp_path / 'config.py').to_dict()
