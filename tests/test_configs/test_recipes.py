"""The numbers of every config against its recipe (recipes.py, probes.py)."""

import re
from pathlib import Path

import numpy as np
import pytest
from mmpretrain.registry import DATASETS

from mmjoint.paper.tables import TABLES

from .probes import DATA, PROBES
from .recipes import RECIPES

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
# The only data without labels, and the images that come decoded.
UNLABELLED, DECODED = 'folder', 'stl10'


def test_every_config_has_a_recipe():
    """Baselines and probes by themselves, the others as a variant of one of them."""
    names = {path.stem for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts}
    baselines = {re.sub(r'_(joint|contrastive)[a-z0-9-]+?-(?=\d+xb)', '_', name) for name in names}
    assert baselines == {*RECIPES, *PROBES}


def test_every_row_of_the_paper_has_its_config():
    for table in TABLES:
        for row in table.rows:
            assert (CONFIGS / f'{row.config}.py').is_file(), row
            if row.probe.endswith('.sh'):
                assert (CONFIGS.parent / 'transfer/detectron2' / row.probe).is_file(), row
            elif 'seconds' not in table.metrics:
                assert row.probe in PROBES, row


@pytest.mark.parametrize(('name', 'recipe'), RECIPES.items())
def test_pretraining_recipe(load, name, recipe):
    cfg = load(name)
    gpus, per_gpu, schedule, epochs = re.search(
        r'_(\d+)xb(\d+)-(coslr|steplr)-(\d+)e_', name
    ).groups()
    assert (schedule == 'steplr') is ('steps' in recipe)
    assert cfg.train_dataloader.batch_size == int(per_gpu)
    assert int(gpus) * int(per_gpu) == cfg.auto_scale_lr.base_batch_size == recipe['batch']
    assert cfg.train_cfg.max_epochs == int(epochs) == recipe['epochs']
    assert cfg.optim_wrapper.optimizer == recipe['optimizer']
    views = dict(type='JointView', num_views=2, transforms=[recipe['views']])
    if 'groups' in recipe:
        groups = recipe['groups'] or cfg.train_dataloader.dataset.pipeline[1].transforms
        views.update(num_views=recipe['num_views'], transforms=groups)
    pipeline = [dict(type='LoadImage'), views, dict(type='PackInputs')]
    decoded = recipe['data_set'] == DECODED
    assert cfg.train_dataloader.dataset.pipeline == pipeline[decoded:]
    hooks = [hook.type for hook in cfg.custom_hooks]
    assert hooks == ['NonFiniteLossHook', *recipe.get('hooks', [])]
    check_model(cfg.model, recipe)
    check_preprocessor(cfg, recipe)


def check_model(model, recipe):
    assert model.type == recipe['type']
    if recipe['temperature'] is not None:
        assert model.head.temperature == recipe['temperature']
    loss = model.head.get('loss', {})
    assert loss.get('loss_weight', 1.0) == recipe.get('loss_weight', 1.0)
    assert layer(model.neck) == recipe['neck']
    if 'predictor' in recipe:
        assert layer(model.head.predictor) == recipe['predictor']
    backbone = model.backbone
    assert backbone.type == recipe['backbone']
    if backbone.type != 'VisionTransformer':
        assert backbone.depth == recipe['depth']
        assert backbone.norm_cfg == dict(type=recipe['norm'])
        assert backbone.zero_init_residual is recipe['zero_init_residual']
    assert model.get('base_momentum') == recipe.get('base_momentum')
    if 'queue' in recipe:
        assert (model.queue_len, model.momentum) == (recipe['queue'], recipe['momentum'])
        assert model.feat_dim == 128
        assert model.queue_len % recipe['batch'] == 0
    if recipe['type'] == 'DINO':
        head = model.head
        assert head.out_channels == model.neck.out_channels
        # The command for ResNet-50 in DINO's repository: no warm-up of the temperature.
        assert (head.student_temperature, head.teacher_temperature) == (0.1, 0.04)
        assert head.center_momentum == 0.9 and model.neck.norm_last_layer is True


def layer(cfg):
    return cfg.type, cfg.in_channels, cfg.get('hid_channels'), cfg.out_channels


@pytest.mark.parametrize('name', [name for name, recipe in RECIPES.items() if 'hooks' in recipe])
def test_hooks_that_belong_to_a_recipe(load, name):
    cfg = load(name)
    hook = cfg.custom_hooks[1]
    if hook.type == 'DINOHook':
        assert (hook.freeze_last_layer, hook.clip_grad) == (1, 3.0)
    elif hook.type == 'FixedLRHook':
        assert cfg.optim_wrapper.paramwise_cfg.custom_keys == {'predictor': dict(fix_lr=True)}
    else:
        assert hook.queue_length == 3840 and hook.epoch_queue_starts == 15
        assert hook.frozen_layers_cfg == dict(prototypes=5005)  # an epoch of 1,281,167 / 256
        assert hook.batch_size == cfg.train_dataloader.batch_size


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
    prefix = recipe.get('prefix', 'backbone.')
    assert backbone.init_cfg == dict(type='StrictPretrained', checkpoint='', prefix=prefix)
    assert (cfg.model.head.in_channels, cfg.model.head.num_classes) == recipe['head']
    views = [t for t in cfg.train_dataloader.dataset.pipeline if t.type != 'LoadImage']
    assert views == [
        dict(type='RandomResizedCrop', scale=recipe['size'], backend='pillow'),
        dict(type='RandomFlip', prob=0.5),
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
    if recipe['data_set'] == UNLABELLED:
        assert not [key for key in cfg if key.startswith('knn')]
    else:
        loaders.update(knn_train_dataloader=knn_train, knn_val_dataloader=knn_val)
    for key, arguments in loaders.items():
        data_set = cfg[key].dataset.to_dict()
        data_set.pop('pipeline')
        assert data_set.pop('data_root').startswith('data/')
        if recipe['data_set'] == 'coco' and key != 'train_dataloader':
            kind = 'ImageNetSubset'
        assert data_set == dict(type=kind, **arguments)
        # No data is here, but the class and its arguments are.
        DATASETS.build(dict(cfg[key].dataset, lazy_init=True))
        assert cfg[key].sampler == dict(type='DefaultSampler', shuffle=key == 'train_dataloader')
        assert cfg[key].collate_fn == dict(type='default_collate')
    assert cfg.train_dataloader.persistent_workers is True
    assert cfg.train_dataloader.drop_last is (name in RECIPES)
