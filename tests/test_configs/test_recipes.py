"""The numbers of every config against its recipe."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


# The recipes, written down from the papers and the repositories that the configs name.
def gray():
    return dict(type='ToGray', prob=0.2)


def crop(scale, low):
    return dict(type='JointCrop', scale=scale, crop_ratio_range=(low, 1.0), beta=None)


def color(strength, saturation, hue):
    return dict(
        type='JointColor',
        brightness=strength,
        contrast=strength,
        saturation=saturation,
        hue=hue,
        prob=0.8,
        beta=None,
    )


FLIP = dict(type='RandomFlip', prob=0.5)
BLUR = dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=0.5, beta=None)


def small_views(scale):
    return [crop(scale, 0.2), FLIP, color(0.4, 0.4, 0.1), gray()]


SIMCLR_VIEWS = [crop(224, 0.08), FLIP, color(0.8, 0.8, 0.2), gray(), BLUR]
MOCOV2_VIEWS = [crop(224, 0.2), color(0.4, 0.4, 0.1), gray(), BLUR, FLIP]

IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
TINY_MEAN, TINY_STD = (122.451, 114.2655, 101.3625), (58.701, 57.7575, 57.681)
STL_MEAN, STL_STD = (112.353, 108.9615, 98.379), (58.956, 57.7575, 57.0435)

SIMCLR = dict(
    type='DistributedSimCLR',
    data_set='imagenet',
    batch=512,
    epochs=100,
    optimizer=dict(type='LARS', lr=0.6, momentum=0.9, weight_decay=1e-6),
    warmup=10,
    final=0.0,
    views=SIMCLR_VIEWS,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    temperature=0.1,
    backbone='ResNet',
    depth=50,
    norm='SyncBN',
    zero_init_residual=True,
    neck=('NonLinearNeck', 2048, 2048, 128),
)
MOCOV2 = dict(
    SIMCLR,
    type='MoCo',
    batch=256,
    epochs=200,
    optimizer=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4),
    warmup=0,
    views=MOCOV2_VIEWS,
    temperature=0.2,
    norm='BN',
    zero_init_residual=False,
    neck=('MoCoV2Neck', 2048, 2048, 128),
    queue=65536,
    momentum=0.001,
)
SMALL = dict(
    data_set='tiny-imagenet',
    batch=512,
    epochs=500,
    optimizer=dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=1e-4),
    warmup=0,
    final=0.1,
    views=small_views(64),
    mean=TINY_MEAN,
    std=TINY_STD,
    backbone='ResNet_CIFAR',
    depth=18,
    zero_init_residual=False,
    neck=('MoCoV2Neck', 512, 512, 128),
)
SCENES = dict(
    data_set='scenes',
    batch=256,
    epochs=10,
    optimizer=dict(type='SGD', lr=0.25, momentum=0.9, weight_decay=1e-4),
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    backbone='ResNet',
)
STL = dict(data_set='stl10', views=small_views(96), mean=STL_MEAN, std=STL_STD)
FOLDER = dict(data_set='folder', batch=256, epochs=200, depth=18)

SIMCLR_SMALL = dict(SIMCLR, **SMALL, temperature=0.5)
MOCOV2_SMALL = {**MOCOV2, **SMALL}
RECIPES = {
    'simclr_resnet50_8xb64-coslr-100e_in1k': SIMCLR,
    'simclr_resnet18_4xb128-coslr-500e_tiny-imagenet': SIMCLR_SMALL,
    'simclr_resnet18_4xb128-coslr-500e_stl10': {**SIMCLR_SMALL, **STL},
    'simclr_resnet18_1xb256-coslr-200e_folder': {
        **SIMCLR,
        **FOLDER,
        'optimizer': dict(SIMCLR['optimizer'], lr=0.3),
        'neck': ('NonLinearNeck', 512, 512, 128),
    },
    'simclr_resnet18_1xb64-coslr-10e_scenes': {
        **SIMCLR_SMALL,
        **SCENES,
        'batch': 64,
        'optimizer': dict(SCENES['optimizer'], lr=0.0625),
        'temperature': 0.2,
    },
    'mocov2_resnet50_8xb32-coslr-200e_in1k': MOCOV2,
    'mocov2_resnet18_4xb128-coslr-500e_tiny-imagenet': MOCOV2_SMALL,
    'mocov2_resnet18_4xb128-coslr-500e_stl10': {**MOCOV2_SMALL, **STL},
    'mocov2_resnet18_1xb256-coslr-200e_folder': {
        **MOCOV2,
        **FOLDER,
        'neck': ('MoCoV2Neck', 512, 512, 128),
        'queue': 4096,
    },
    'mocov2_resnet18_1xb256-coslr-10e_scenes': {
        **MOCOV2_SMALL,
        **SCENES,
        'queue': 1024,
        'momentum': 0.01,
    },
}
MOCO_PROBE = dict(
    data_set='imagenet',
    batch=256,
    epochs=100,
    optimizer=dict(type='SGD', lr=30.0, momentum=0.9, weight_decay=0.0),
    steps=[60, 80],
    size=224,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    backbone='ResNet',
    depth=50,
    head=(2048, 1000),
)
SMALL_PROBE = dict(
    MOCO_PROBE,
    data_set='tiny-imagenet',
    batch=512,
    optimizer=dict(MOCO_PROBE['optimizer'], lr=10.0),
    size=64,
    mean=TINY_MEAN,
    std=TINY_STD,
    backbone='ResNet_CIFAR',
    depth=18,
    head=(512, 200),
)
PROBES = {
    'resnet50_8xb32-linear-steplr-100e_in1k': MOCO_PROBE,
    'resnet50_8xb512-linear-coslr-90e_in1k': dict(
        MOCO_PROBE,
        batch=4096,
        epochs=90,
        optimizer=dict(type='LARS', lr=1.6, momentum=0.9, weight_decay=0.0),
        steps=None,
    ),
    'resnet18_4xb128-linear-steplr-100e_tiny-imagenet': SMALL_PROBE,
    'resnet18_4xb128-linear-steplr-100e_stl10': dict(
        SMALL_PROBE, data_set='stl10', size=96, mean=STL_MEAN, std=STL_STD, head=(512, 10)
    ),
    'resnet18_1xb256-linear-steplr-20e_scenes': dict(
        SMALL_PROBE,
        data_set='scenes',
        batch=256,
        epochs=20,
        optimizer=dict(MOCO_PROBE['optimizer'], lr=5.0),
        steps=[12, 16],
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        backbone='ResNet',
        head=(512, 10),
    ),
}
# What each data set's training and kNN data are: type and the arguments that pick the images.
DATA = {
    'imagenet': ('ImageNet', dict(split='train'), dict(split='train'), dict(split='val')),
    'tiny-imagenet': ('TinyImageNet', dict(split='train'), dict(split='train'), dict(split='val')),
    'stl10': ('STL10', dict(split='train+unlabeled'), dict(split='train'), dict(split='test')),
    'scenes': (
        'ImageFolder',
        dict(data_prefix='train', with_label=True),
        dict(data_prefix='train', with_label=True),
        dict(data_prefix='val', with_label=True),
    ),
    'folder': ('ImageFolder', {}, None, None),
}


def variants(name):
    head, tail = re.fullmatch(r'([a-z0-9]+_resnet\d+)_(.+)', name).groups()
    return [f'{head}_{joint}-{tail}' for joint in ('jointcrop0', 'jointblur0')]


def test_every_config_has_a_recipe():
    names = {path.stem for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts}
    assert names == {*RECIPES, *(v for name in RECIPES for v in variants(name)), *PROBES}


@pytest.mark.parametrize(('name', 'recipe'), RECIPES.items())
def test_pretraining_recipe(load, name, recipe):
    cfg = load(name)
    gpus, per_gpu, epochs = map(int, re.search(r'_(\d+)xb(\d+)-coslr-(\d+)e_', name).groups())
    assert cfg.train_dataloader.batch_size == per_gpu
    assert gpus * per_gpu == cfg.auto_scale_lr.base_batch_size == recipe['batch']
    assert cfg.train_cfg.max_epochs == epochs == recipe['epochs']
    assert cfg.optim_wrapper.optimizer == recipe['optimizer']
    pipeline = [
        dict(type='LoadImage'),
        dict(type='JointView', num_views=2, transforms=[recipe['views']]),
        dict(type='PackInputs'),
    ]
    decoded = recipe['data_set'] == 'stl10'  # its images come decoded
    assert cfg.train_dataloader.dataset.pipeline == pipeline[decoded:]
    model = cfg.model
    assert model.type == recipe['type']
    assert model.head.temperature == recipe['temperature']
    assert model.head.loss.get('loss_weight', 1.0) == 1.0
    neck = model.neck
    assert (neck.type, neck.in_channels, neck.hid_channels, neck.out_channels) == recipe['neck']
    assert (model.backbone.type, model.backbone.depth) == (recipe['backbone'], recipe['depth'])
    assert model.backbone.norm_cfg == dict(type=recipe['norm'])
    assert model.backbone.zero_init_residual is recipe['zero_init_residual']
    if recipe['type'] == 'MoCo':
        assert (model.queue_len, model.momentum) == (recipe['queue'], recipe['momentum'])
        assert model.feat_dim == 128
        assert model.queue_len % recipe['batch'] == 0
    check_preprocessor(cfg, recipe)


def check_preprocessor(cfg, recipe):
    preprocessor = cfg.model.data_preprocessor
    assert preprocessor.to_rgb is True
    np.testing.assert_allclose(preprocessor.mean, recipe['mean'], rtol=1e-6)
    np.testing.assert_allclose(preprocessor.std, recipe['std'], rtol=1e-6)


@pytest.mark.parametrize(('name', 'recipe'), PROBES.items())
def test_probe_recipe(load, name, recipe):
    cfg = load(name)
    gpus, per_gpu, epochs = map(int, re.search(r'_(\d+)xb(\d+)-.+-(\d+)e_', name).groups())
    assert cfg.train_dataloader.batch_size == per_gpu
    assert gpus * per_gpu == cfg.auto_scale_lr.base_batch_size == recipe['batch']
    assert cfg.train_cfg.max_epochs == epochs == recipe['epochs']
    assert cfg.optim_wrapper.optimizer == recipe['optimizer']
    backbone = cfg.model.backbone
    assert (backbone.type, backbone.depth) == (recipe['backbone'], recipe['depth'])
    assert backbone.frozen_stages == 4
    assert backbone.init_cfg == dict(type='StrictPretrained', checkpoint='', prefix='backbone.')
    assert (cfg.model.head.in_channels, cfg.model.head.num_classes) == recipe['head']
    views = [t for t in cfg.train_dataloader.dataset.pipeline if t.type != 'LoadImage']
    assert views == [
        dict(type='RandomResizedCrop', scale=recipe['size'], backend='pillow'),
        FLIP,
        dict(type='PackInputs'),
    ]
    assert cfg.val_dataloader == cfg.test_dataloader == cfg.knn_val_dataloader
    assert cfg.val_evaluator == dict(type='Accuracy', topk=(1, 5))
    check_preprocessor(cfg, recipe)


def test_random_resized_crop_takes_8_percent_upwards(load):
    """The probes leave mmpretrain's default range, which is the recipe's."""
    pipeline = load('resnet50_8xb32-linear-steplr-100e_in1k').train_dataloader.dataset.pipeline
    transform = DATASETS.build(
        dict(type='ImageNet', data_root='data/imagenet', pipeline=pipeline, lazy_init=True)
    ).pipeline.transforms[1]
    assert transform.crop_ratio_range == (0.08, 1.0)
    assert transform.aspect_ratio_range == (3 / 4, 4 / 3)


@pytest.mark.parametrize('name', [*RECIPES, *PROBES])
def test_data_settings(load, name):
    cfg = load(name)
    recipe = RECIPES.get(name) or PROBES[name]
    kind, train, knn_train, knn_val = DATA[recipe['data_set']]
    if name in PROBES:
        train = knn_train
    loaders = dict(train_dataloader=train)
    if knn_train is None:
        assert not [key for key in cfg if key.startswith('knn')]
    else:
        loaders.update(knn_train_dataloader=knn_train, knn_val_dataloader=knn_val)
    for key, arguments in loaders.items():
        data_set = cfg[key].dataset.to_dict()
        data_set.pop('pipeline')
        assert data_set.pop('data_root').startswith('data/')
        assert data_set == dict(type=kind, **arguments)
        # No data is here, but the class and its arguments are.
        DATASETS.build(dict(cfg[key].dataset, lazy_init=True))
        assert cfg[key].sampler == dict(type='DefaultSampler', shuffle=key == 'train_dataloader')
        assert cfg[key].collate_fn == dict(type='default_collate')
    assert cfg.train_dataloader.persistent_workers is True
    assert cfg.train_dataloader.drop_last is (name in RECIPES)


class Toy(BaseModel):
    """One weight, so that a whole schedule runs in a second; notes the learning rates."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.rates = []

    def forward(self, value, mode):
        return dict(loss=self.weight.sum())

    def train_step(self, data, optim_wrapper):
        self.rates.append(optim_wrapper.get_lr()['lr'][0])
        return super().train_step(data, optim_wrapper)


def expected_rate(name, iteration, length):
    """The learning rate in closed form; ``length`` is the number of iterations of an epoch."""
    recipe = RECIPES.get(name) or PROBES[name]
    peak, epoch = recipe['optimizer']['lr'], iteration // length
    if recipe.get('steps'):
        return peak * 0.1 ** sum(epoch >= step for step in recipe['steps'])
    warmup, final = recipe.get('warmup', 0), recipe.get('final', 0.0)
    if epoch < warmup:
        return peak * (1e-4 + (1 - 1e-4) * iteration / (warmup * length - 1))
    progress = (epoch - warmup) / (recipe['epochs'] - warmup)
    return peak * (final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2)


@pytest.mark.parametrize(
    'name',
    [
        'simclr_resnet50_8xb64-coslr-100e_in1k',
        'simclr_resnet18_4xb128-coslr-500e_stl10',
        'simclr_resnet18_1xb256-coslr-200e_folder',
        'simclr_resnet18_1xb64-coslr-10e_scenes',
        'mocov2_resnet50_8xb32-coslr-200e_in1k',
        *PROBES,
    ],
)
def test_learning_rates_of_a_run(load, name, tmp_path):
    length = 3
    cfg = load(name)
    model = Toy()
    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=dict(
            batch_size=1,
            dataset=[dict(value=torch.ones(1))] * length,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=cfg.train_cfg.max_epochs),
        optim_wrapper=dict(optimizer=cfg.optim_wrapper.optimizer),
        param_scheduler=cfg.param_scheduler,
        default_hooks=dict(logger=None, checkpoint=None),
        default_scope='mmpretrain',
        experiment_name=name,
        log_level='ERROR',
    )
    runner.train()
    expected = [expected_rate(name, i, length) for i in range(len(model.rates))]
    assert len(expected) == cfg.train_cfg.max_epochs * length
    np.testing.assert_allclose(model.rates, expected, rtol=1e-6)
