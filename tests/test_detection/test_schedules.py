"""Schedules of any number of photos, and what each engine makes of them."""

import runpy
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from mmjoint.detection.schedules import make_schedule
from mmjoint.detection.torchvision.run import choose_recipe, parse_args
from mmjoint.engine.options import apply_options

TRANSFER = Path(__file__).resolve().parents[2] / 'transfer'
COCO = 118287  # photos of train2017


@pytest.mark.parametrize(
    ('name', 'photos', 'iterations', 'steps', 'warmup'),
    [
        ('1x', COCO, 90000, (60000, 80000), 1000),
        ('2x', COCO, 180000, (120000, 160000), 1000),
        ('1x', 20000, 15217, (10145, 13526), 1000),
        ('small', 20, 1500, (1000, 1333), 150),  # 6,000 images
        ('small', 200, 3000, (2000, 2667), 300),  # 60 passes
        ('small', 1000, 12000, (8000, 10667), 1000),  # 48,000 images
        ('small', 20000, 60869, (40579, 54106), 1000),  # 1x
    ],
)
def test_schedules_fit_the_number_of_photos(name, photos, iterations, steps, warmup):
    schedule = make_schedule(name, photos)
    assert (schedule.iterations, schedule.steps) == (iterations, steps)
    assert schedule.warmup == warmup
    batch, lr = (4, 0.005) if name == 'small' else (16, 0.02)
    assert (schedule.batch_size, schedule.lr) == (batch, pytest.approx(lr))


def test_more_processes_and_other_batches_train_on_as_many_images():
    eight = make_schedule('small', 200, processes=8)
    assert (eight.batch_size, eight.iterations, eight.lr) == (8, 1500, pytest.approx(0.01))
    assert make_schedule('1x', COCO, processes=3).batch_size == 18
    assert make_schedule('1x', COCO, batch_size=8).iterations == 180000
    with pytest.raises(ValueError, match="'4x'; expected one of small, 1x"):
        make_schedule('4x', 200)


def test_1x_of_coco_is_the_published_recipe_of_detectron2():
    engine = runpy.run_path(str(TRANSFER / 'detectron2/run.py'))
    configs = TRANSFER / 'detectron2/configs'
    solver = yaml.safe_load((configs / 'base.yaml').read_text())['SOLVER']
    solver |= yaml.safe_load((configs / 'coco_mask_r50_fpn_1x.yaml').read_text())['SOLVER']
    words = engine['settings'](make_schedule('1x', COCO), eval_every=500)
    values = dict(zip(words[::2], words[1::2], strict=True))
    for key in ('MAX_ITER', 'IMS_PER_BATCH', 'BASE_LR', 'STEPS'):
        assert values[f'SOLVER.{key}'] == str(solver[key]).replace("'", '')
    assert values['TEST.EVAL_PERIOD'] == '500'
    assert not any(key.startswith('INPUT') for key in values)
    assert engine['settings'](None) == []


@pytest.mark.parametrize(
    'name',
    ['faster-rcnn_r50-c4_24k_voc0712', 'mask-rcnn_r50-c4_1x_coco', 'mask-rcnn_r50-fpn_1x_coco'],
)
def test_mmdets_configs_take_a_schedule(name, monkeypatch):
    monkeypatch.syspath_prepend(TRANSFER / 'mmdet')  # as Python does for a script
    cfg = Config.fromfile(TRANSFER / f'mmdet/configs/{name}.py', import_custom_modules=False)
    settings = runpy.run_path(str(TRANSFER / 'mmdet/run.py'))['settings']
    schedule = make_schedule('small', 200, processes=2)
    apply_options(cfg, settings(schedule, 2))
    train = runpy.run_path(str(TRANSFER / 'mmdet/train.py'))
    sizes = (schedule.short_sides, schedule.test_short_side, schedule.max_side)
    train['set_sizes'](cfg, *sizes)
    assert cfg.train_cfg.max_iters == 3000
    linear, multi_step = cfg.param_scheduler
    assert (linear.end, multi_step.milestones) == (300, [2000, 2667])
    assert (cfg.optim_wrapper.optimizer.lr, cfg.train_dataloader.batch_size) == (0.005, 2)
    assert cfg.auto_scale_lr.base_batch_size == 4
    resize, test_resize = cfg.train_pipeline[2], cfg.test_pipeline[1]
    assert resize.type == 'RandomChoiceResize' and test_resize.type == 'Resize'
    assert [*map(tuple, resize.scales)] == [(800, side) for side in (400, 432, 464, 496, 512)]
    assert tuple(test_resize.scale) == (800, 480)
    assert cfg.default_hooks.checkpoint.interval == 150
    assert cfg.custom_hooks[0] == dict(
        type='FinalPreciseBNHook', num_iters=200, priority='ABOVE_NORMAL'
    )


def test_torchvisions_recipes_take_a_schedule():
    def choose(*more: str):
        args = ['coco', '--init', 'random', '--schedule', 'small', *more]
        return choose_recipe(parse_args('', args), photos=200)

    name, recipe = choose()
    assert name == 'coco-small-schedule'
    assert (recipe.iterations, recipe.batch_size, recipe.lr) == (3000, 4, 0.005)
    assert (recipe.short_sides[0], recipe.test_short_side, recipe.max_side) == (400, 480, 800)
    assert recipe.lr_at(0) == pytest.approx(5e-6) and recipe.lr_at(300) == 0.005
    assert recipe.lr_at(2000) == pytest.approx(5e-4) and recipe.model.masks
    _, eight = choose('--batch-size', '8')
    assert (eight.iterations, eight.batch_size, eight.lr) == (1500, 8, 0.01)
    _, short = choose('--iterations', '300')
    assert (short.iterations, short.steps, short.warmup) == (300, (200, 267), 30)
    assert (short.precise_bn, choose('--iterations', '30')[1].precise_bn) == (200, 30)
