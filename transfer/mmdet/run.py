"""Converts a backbone, fine-tunes a detector on it with mmdet, evaluates it, writes the table."""

import argparse
import os
import sys
from pathlib import Path

from mmjoint.detection.schedules import Schedule
from mmjoint.detection.trials import Engine, parse_args, run
from mmjoint.utils.errors import one_line_errors

HERE = Path(__file__).resolve().parent
LAUNCH = HERE.parents[1] / 'tools' / 'launch.py'


def command(
    args: argparse.Namespace,
    config: Path,
    data: Path,
    weights: Path | None,
    folder: Path,
    seed: int,
) -> list[str]:
    """Return the command of one trial: train.py, in several processes if requested."""
    command = [str(HERE / 'train.py'), str(config), '--data', str(data)]
    command += ['--work-dir', str(folder), '--seed', str(seed)]
    if weights:
        command += ['--weights', str(weights)]
    if args.plan and args.plan.short_sides:
        command += ['--short-sides', *map(str, args.plan.short_sides)]
        command += ['--test-short-side', str(args.plan.test_short_side)]
        command += ['--max-side', str(args.plan.max_side)]
    if args.eval_every:
        command += ['--eval-every', str(args.eval_every)]
    options = settings(args.plan, args.gpus) + args.options
    if options:
        command += ['--cfg-options', *options]
    if args.gpus > 1:
        launcher = [str(LAUNCH), f'--nproc_per_node={args.gpus}']
        launcher += [f'--master_port={os.environ.get("PORT", 0)}']
        command = [*launcher, *command, '--launcher', 'pytorch']
    return [sys.executable, *command]


def settings(plan: Schedule | None, processes: int) -> list[str]:
    """Return the config's keys and values of a schedule, as ``--cfg-options`` takes them.

    Args:
        plan (Schedule, optional): None for the recipe's own.
        processes (int): Among which a batch is split.
    """
    if plan is None:
        return []
    values = {
        'train_cfg.max_iters': plan.iterations,
        'param_scheduler.0.end': plan.warmup,
        'param_scheduler.1.milestones': list(plan.steps),
        'optim_wrapper.optimizer.lr': plan.lr,
        'train_dataloader.batch_size': plan.batch_size // processes,
        'auto_scale_lr.base_batch_size': plan.batch_size,
        'default_hooks.checkpoint.interval': plan.checkpoint_interval,
        'custom_hooks.0.num_iters': plan.precise_bn,
    }
    return [f'{key}={value}'.replace(' ', '') for key, value in values.items()]


ENGINE = Engine(
    name='mmdet',
    folder=HERE,
    suffix='.py',
    configs=dict(voc='faster-rcnn_r50-c4_24k_voc0712', coco='mask-rcnn_r50-c4_1x_coco'),
    weights='backbone.pth',
    checkpoints='iter_*.pth',
    options='--cfg-options',
    options_help='KEY=VALUE: settings of the config to change; the run is then not the recipe',
    command=command,
)

if __name__ == '__main__':
    with one_line_errors():
        run(ENGINE, parse_args(ENGINE, __doc__))
