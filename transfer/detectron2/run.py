"""Converts a backbone, fine-tunes and evaluates a detectron2 detector on it, writes the table."""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

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
    if args.options:
        command += ['--opts', *args.options]
    return command


ENGINE = Engine(
    name='detectron2',
    folder=HERE,
    suffix='.yaml',
    configs=dict(voc='voc_r50_c4_24k', coco='coco_mask_r50_c4_1x'),
    weights='backbone.pkl',
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
