"""Converts a backbone, fine-tunes a detector on it with mmdet, evaluates it, writes the table."""

import argparse
import os
import sys
from pathlib import Path

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
    if args.options:
        command += ['--cfg-options', *args.options]
    if args.gpus > 1:
        launcher = [str(LAUNCH), f'--nproc_per_node={args.gpus}']
        launcher += [f'--master_port={os.environ.get("PORT", 0)}']
        command = [*launcher, *command, '--launcher', 'pytorch']
    return [sys.executable, *command]


ENGINE = Engine(
    name='mmdet',
    folder=HERE,
    suffix='.py',
    configs=dict(voc='faster-rcnn_r50-c4_24k_voc0712', coco='mask-rcnn_r50-c4_1x_coco'),
    weights='backbone.pth',
    options='--cfg-options',
    options_help='KEY=VALUE: settings of the config to change; the run is then not the recipe',
    command=command,
)

if __name__ == '__main__':
    with one_line_errors():
        run(ENGINE, parse_args(ENGINE, __doc__))
