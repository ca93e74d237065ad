"""The detectron2 engine's configs against their recipes."""

import ast

import pytest
import yaml
from detectron2_engine import ENGINE, load, needs_detectron2

MULTISCALE = (640, 672, 704, 736, 768, 800)
run = load('run')

# MoCo's detection configs, and for the FPN moco#34 on detectron2's own.
COMMON = {
    'MODEL.PIXEL_MEAN': [123.675, 116.28, 103.53],
    'MODEL.PIXEL_STD': [58.395, 57.12, 57.375],
    'MODEL.BACKBONE.FREEZE_AT': 0,
    'MODEL.RESNETS.STRIDE_IN_1X1': False,
    'MODEL.RESNETS.NORM': 'naiveSyncBN',
    'INPUT.FORMAT': 'RGB',
    'INPUT.MIN_SIZE_TEST': 800,
    'SOLVER.IMS_PER_BATCH': 16,
    'SOLVER.BASE_LR': 0.02,
    'TEST.PRECISE_BN.ENABLED': True,
}
C4 = {
    'MODEL.ROI_HEADS.NAME': 'Res5ROIHeadsExtraNorm',
    'MODEL.RPN.PRE_NMS_TOPK_TEST': 6000,
    'MODEL.RPN.POST_NMS_TOPK_TEST': 1000,
}
COCO = {
    'MODEL.MASK_ON': True,
    'INPUT.MIN_SIZE_TRAIN': MULTISCALE,
    'DATASETS.TRAIN': ('coco_2017_train',),
    'DATASETS.TEST': ('coco_2017_val',),
    'SOLVER.STEPS': (60000, 80000),
    'SOLVER.MAX_ITER': 90000,
}
RECIPES = {
    'voc_r50_c4_24k': C4
    | {
        'MODEL.MASK_ON': False,
        'MODEL.ROI_HEADS.NUM_CLASSES': 20,
        'INPUT.MIN_SIZE_TRAIN': (480, 512, 544, 576, 608, *MULTISCALE),
        'DATASETS.TRAIN': ('voc_2007_trainval', 'voc_2012_trainval'),
        'DATASETS.TEST': ('voc_2007_test',),
        'SOLVER.STEPS': (18000, 22000),
        'SOLVER.MAX_ITER': 24000,
        'SOLVER.WARMUP_ITERS': 100,
    },
    'coco_mask_r50_c4_1x': C4 | COCO,
    'coco_mask_r50_c4_2x': C4
    | COCO
    | {'SOLVER.STEPS': (120000, 160000), 'SOLVER.MAX_ITER': 180000},
    'coco_mask_r50_fpn_1x': COCO
    | {
        'MODEL.BACKBONE.NAME': 'build_resnet_fpn_backbone',
        'MODEL.FPN.NORM': 'naiveSyncBN',
        'MODEL.ROI_HEADS.NAME': 'StandardROIHeads',
        'MODEL.RPN.PRE_NMS_TOPK_TEST': 1000,
        'MODEL.RPN.POST_NMS_TOPK_TEST': 1000,
    },
}
# detectron2's defaults that the recipes count on.
DEFAULTS = {
    'MODEL.RESNETS.DEPTH': 50,
    'SOLVER.WARMUP_ITERS': 1000,
    'SOLVER.WEIGHT_DECAY': 0.0001,
    'SOLVER.MOMENTUM': 0.9,
    'SOLVER.GAMMA': 0.1,
    'INPUT.MAX_SIZE_TRAIN': 1333,
    'INPUT.MAX_SIZE_TEST': 1333,
    'MODEL.ROI_HEADS.NUM_CLASSES': 80,
}


def flat(node, prefix=''):
    if not isinstance(node, dict):
        return {prefix[:-1]: node}
    return {k: v for key, value in node.items() for k, v in flat(value, f'{prefix}{key}.').items()}


def read_yaml(path):
    """Settings of a config and its bases by their dotted names."""
    own = flat(yaml.safe_load(path.read_text()))
    base = own.pop('_BASE_', None)
    inherited = read_yaml(path.parent / base) if base else {}
    tuples = {k: ast.literal_eval(v) for k, v in own.items() if str(v).startswith('(')}
    return inherited | own | tuples


def test_every_config_has_its_recipe():
    names = {path.stem for path in (ENGINE / 'configs').glob('*.yaml')}
    assert names == {*RECIPES, 'base', 'base_c4'}
    assert set(run.ENGINE.configs.values()) <= names


@pytest.mark.parametrize('name', RECIPES)
def test_recipe_in_the_files(name):
    settings = read_yaml(ENGINE / 'configs' / f'{name}.yaml')
    expected = COMMON | RECIPES[name]
    assert {key: settings[key] for key in expected} == expected
    assert settings['MODEL.WEIGHTS'] == ''


def test_what_recipes_share_is_said_once():
    for path in (ENGINE / 'configs').glob('*_r50_*.yaml'):
        own = flat(yaml.safe_load(path.read_text()))
        assert not set(own) & set(COMMON), path
        assert own['_BASE_']


@needs_detectron2
@pytest.mark.parametrize('name', RECIPES)
def test_recipe_as_detectron2_reads_it(name, train_net):
    cfg = train_net.load_config(str(ENGINE / 'configs' / f'{name}.yaml'), [])
    seen = {}
    for key in DEFAULTS | COMMON | RECIPES[name]:
        value = cfg
        for part in key.split('.'):
            value = value[part]
        seen[key] = value
    assert seen == DEFAULTS | COMMON | RECIPES[name]
