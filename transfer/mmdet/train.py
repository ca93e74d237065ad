"""Fine-tunes and tests one mmdet detector; run.py starts it once per trial."""

import argparse
import copy
import time
from collections.abc import Sequence
from pathlib import Path

import mmcv_ops  # noqa: F401  # before mmpretrain, which imports mmdet if it is there
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from mmjoint import engine
from mmjoint.detection.data import write_results
from mmjoint.detection.sources import read_written
from mmjoint.utils.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='a file of transfer/mmdet/configs, or one made of it')
    parser.add_argument(
        '--data', required=True, help='folder of train.npz and test.npz, which run.py writes'
    )
    parser.add_argument('--weights', help='converted backbone (default: random initialization)')
    parser.add_argument('--seed', type=int, required=True)
    parser.add_argument('--work-dir', required=True)
    parser.add_argument('--short-sides', type=int, nargs='+', help='of training images, in pixels')
    parser.add_argument('--test-short-side', type=int, help='in pixels, with --short-sides')
    parser.add_argument('--max-side', type=int, help='in pixels, with --short-sides')
    parser.add_argument('--eval-every', type=int, default=0, help='iterations between two tests')
    parser.add_argument('--cfg-options', nargs='+', action='extend', default=[])
    parser.add_argument('--launcher', choices=['none', 'pytorch'], default='none')
    parser.set_defaults(no_pin_memory=False)
    return parser.parse_args()


def set_data(cfg: Config, folder: str) -> None:
    """Make a config train and test on the sets that run.py has checked and written.

    Args:
        cfg (Config): The config; data sets, metric, number of classes and masks are set in place.
        folder (str): Folder with ``train.npz`` and ``test.npz`` from ``DataSets.write``.
    """
    test = read_written(folder, 'test')
    classes = tuple(category['name'] for category in test['categories'])
    head = cfg.model.roi_head
    head.bbox_head.num_classes = len(classes)
    if not test['info']['masks']:
        head.mask_head = head.mask_roi_extractor = None
        for step in (*cfg.train_pipeline, *cfg.test_pipeline):
            if step.type == 'LoadAnnotations':
                step.with_mask = False
    elif head.get('mask_head'):
        head.mask_head.num_classes = len(classes)
    else:
        raise ValueError(f'{cfg.filename}: has no mask head; give --task bbox')
    common = dict(type='WrittenSet', data_prefix=dict(img=''), metainfo=dict(classes=classes))
    files = {part: str(Path(folder, f'{part}.npz').absolute()) for part in ('train', 'test')}
    cfg.train_dataloader.dataset = dict(
        **common,
        ann_file=files['train'],
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=cfg.train_pipeline,
    )
    cfg.test_dataloader.dataset = dict(
        **common, ann_file=files['test'], test_mode=True, pipeline=cfg.test_pipeline
    )
    cfg.test_evaluator = dict(type='WrittenSetMetric', folder=folder, out=cfg.work_dir)


def set_sizes(cfg: Config, short_sides: Sequence[int], test_short_side: int, max_side: int) -> None:
    """Set the sizes of images in pixels, before ``set_data`` takes the pipelines."""
    for step in cfg.train_pipeline:
        if step.type == 'RandomChoiceResize':
            step.scales = [(max_side, side) for side in short_sides]
    for step in cfg.test_pipeline:
        if step.type == 'Resize':
            step.scale = (max_side, test_short_side)


def adapt(cfg: Config, args: argparse.Namespace) -> None:
    """Set the data, the seed, the weights to start from and early tables."""
    if args.short_sides:
        set_sizes(cfg, args.short_sides, args.test_short_side, args.max_side)
    set_data(cfg, args.data)
    if args.eval_every:
        cfg.val_dataloader = copy.deepcopy(cfg.test_dataloader)
        cfg.val_evaluator, cfg.val_cfg = cfg.test_evaluator, dict(type='ValLoop')
        cfg.train_cfg.val_interval = args.eval_every
    for name in ('train_dataloader', 'test_dataloader', 'val_dataloader'):
        cfg.get(name, {}).pop('collate_fn', None)  # mmdet's pseudo_collate is the Runner's default
    cfg.randomness = dict(seed=args.seed)
    if args.weights:
        cfg.custom_hooks.append(
            dict(type='LoadBackboneHook', checkpoint=args.weights, priority='VERY_HIGH')
        )


def metric_of(runner: Runner) -> dict:
    """Return the metric's results in the last test: bbox, segm and per_class."""
    return runner.test_loop.evaluator.metrics[0].outcome


def main() -> None:
    """Train, test and write result.json next to the logs."""
    args = parse_args()
    with one_line_errors():
        cfg = engine.load_config(args)
        adapt(cfg, args)
        engine.enter_work_dir(cfg, resume='auto')
        engine.guard_run(cfg)
        engine.fit_to_machine(cfg)
        runner = engine.build_runner(cfg, strict=cfg.resume)
        start = time.monotonic()
        runner.train()
        runner.test()
        metrics = dict(seed=args.seed, **metric_of(runner))
        metrics['seconds'] = time.monotonic() - start
        if is_main_process():
            write_results(Path(cfg.work_dir, 'result.json'), metrics)
        engine.disconnect()


if __name__ == '__main__':
    main()
