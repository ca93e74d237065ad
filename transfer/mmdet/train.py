"""Fine-tunes and tests one mmdet detector; run.py starts it, once a trial."""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process

from mmjoint import engine
from mmjoint.detection.data import METRICS, check_coco, check_voc, write_results
from mmjoint.utils.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='a file of transfer/mmdet/configs, or one made of it')
    parser.add_argument('--data-root', required=True, help='the VOCdevkit or the COCO folder')
    parser.add_argument('--weights', help='converted backbone; without it the start is random')
    parser.add_argument('--seed', type=int, required=True)
    parser.add_argument('--work-dir', required=True)
    parser.add_argument('--cfg-options', nargs='+', action='extend', default=[])
    parser.add_argument('--launcher', choices=['none', 'pytorch'], default='none')
    parser.set_defaults(no_pin_memory=False)
    return parser.parse_args()


def data_sets(node: object) -> Iterator[ConfigDict]:
    """Find the data sets of a config's loader, those inside others too."""
    if isinstance(node, list):
        for item in node:
            yield from data_sets(item)
    elif isinstance(node, dict):
        if 'ann_file' in node:
            yield node
        for item in node.values():
            yield from data_sets(item)


def set_data_root(cfg: Config, root: str) -> None:
    """Point data sets and metric to a folder that has every file they name."""
    found = [
        dataset
        for name in ('train_dataloader', 'test_dataloader')
        for dataset in data_sets(cfg[name])
    ]
    for dataset in found:
        dataset.data_root = root + '/'
    lists = [Path(dataset.ann_file) for dataset in found]
    if found[0].type == 'VOCDataset':
        check_voc(root, [f'{path.parts[0]}/{path.stem}' for path in lists])
    else:
        check_coco(root, [path.stem.removeprefix('instances_') for path in lists])
        cfg.test_evaluator.ann_file = str(Path(root, found[-1].ann_file))


def adapt(cfg: Config, args: argparse.Namespace) -> None:
    """Set data, seed and start."""
    set_data_root(cfg, args.data_root)
    for name in ('train_dataloader', 'test_dataloader'):
        cfg[name].pop('collate_fn', None)  # mmdet's pseudo_collate is the Runner's default
    cfg.randomness = dict(seed=args.seed)
    if args.weights:
        cfg.custom_hooks.append(
            dict(type='LoadBackboneHook', checkpoint=args.weights, priority='VERY_HIGH')
        )


def percentages(metrics: dict[str, float]) -> dict[str, dict[str, float]]:
    """Return AP, AP50 and AP75 in percent, of boxes and of masks where there are."""
    if 'pascal_voc/mAP' in metrics:
        names = {'bbox': ('pascal_voc/mAP', 'pascal_voc/AP50', 'pascal_voc/AP75')}
    else:
        names = {
            kind: tuple(f'coco/{kind}_mAP{at}' for at in ('', '_50', '_75'))
            for kind in ('bbox', 'segm')
        }
    return {
        kind: {metric: 100 * float(metrics[key]) for metric, key in zip(METRICS, keys, strict=True)}
        for kind, keys in names.items()
    }


def main() -> None:
    """Train, test and write result.json beside the logs."""
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
        metrics = dict(seed=args.seed, **percentages(runner.test()))
        metrics['seconds'] = time.monotonic() - start
        if is_main_process():
            write_results(Path(cfg.work_dir, 'result.json'), metrics)
        engine.disconnect()


if __name__ == '__main__':
    main()
