"""Converts a backbone, fine-tunes and evaluates a detectron2 detector on it, writes the table."""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from mmjoint.detection.schedules import Schedule
from mmjoint.detection.trials import Engine, parse_args, run
from mmjoint.utils.errors import one_line_errors

HERE = Path(__file__).resolve().parent


def command(
    args: argparse.Namespace,
    config: Path,
    data: Path,
    weights: Path | None,
    folder: Path,
    seed: int,
) -> list[str]:
    """Return the command of one trial: train_net.py, which starts one process per GPU."""
    command = [sys.executable, str(HERE / 'train_net.py'), str(config), '--resume']
    command += ['--weights', str(weights or 'random'), '--output-dir', str(folder)]
    command += ['--gpus', str(args.gpus), '--seed', str(seed), '--data', str(data)]
    options = settings(args.plan, args.eval_every) + args.options
    if options:
        command += ['--opts', *options]
    return command


def settings(plan: Schedule | None, eval_every: int = 0) -> list[str]:
    """Return detectron2's keys and values of a schedule and of early tables.

    Args:
        plan (Schedule, optional): None for the recipe's own.
        eval_every (int): Iterations between two tables; 0 for none. Defaults to 0.
    """
    values = {'TEST.EVAL_PERIOD': eval_every} if eval_every else {}
    if plan:
        values |= {
            'SOLVER.MAX_ITER': plan.iterations,
            'SOLVER.STEPS': plan.steps,
            'SOLVER.WARMUP_ITERS': plan.warmup,
            'SOLVER.IMS_PER_BATCH': plan.batch_size,
            'SOLVER.BASE_LR': plan.lr,
            'SOLVER.CHECKPOINT_PERIOD': plan.checkpoint_interval,
            'TEST.PRECISE_BN.NUM_ITER': plan.precise_bn,
        }
        if plan.short_sides:
            values |= {
                'INPUT.MIN_SIZE_TRAIN': plan.short_sides,
                'INPUT.MIN_SIZE_TEST': plan.test_short_side,
                'INPUT.MAX_SIZE_TRAIN': plan.max_side,
                'INPUT.MAX_SIZE_TEST': plan.max_side,
            }
    return [str(part) for pair in values.items() for part in pair]


ENGINE = Engine(
    name='detectron2',
    folder=HERE,
    suffix='.yaml',
    configs=dict(voc='voc_r50_c4_24k', coco='coco_mask_r50_c4_1x'),
    weights='backbone.pkl',
    checkpoints='model_*.pth',
    options='--opts',
    options_help="KEY VALUE: detectron2's settings to change, such as SOLVER.MAX_ITER 100; the "
    'run is then not the recipe',
    command=command,
)

if __name__ == '__main__':
    with one_line_errors():
        args = parse_args(ENGINE, __doc__)
        if find_spec('detectron2') is None:
            raise OSError('detectron2 is not installed: transfer/README.md says how to build it')
        run(ENGINE, args)
