"""Pretrain SimCLR with and without JointCrop on generated scenes, evaluate both, write a report.

It runs only commands that README shows: tools/train.py on two configs, kNN and linear accuracy, and
transfer/torchvision for a detector. A start after an interruption continues where the last one
ended.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from command_line import start


def parse_args() -> Namespace:
    """Parse the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--images', metavar='FOLDER', type=Path, help='pretrain on the photos below this folder'
    )
    parser.add_argument('--epochs', type=int, default=6, help='epochs of each run (default: 6)')
    parser.add_argument('--seed', type=int, default=0, help='seed of both runs (default: 0)')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/quickstart'),
        help='folder of the results (default: work_dirs/quickstart)',
    )
    args = parser.parse_args()
    if args.epochs < 1:
        parser.error(f'--epochs must be at least 1, got {args.epochs}')
    return args


def main(args: Namespace) -> None:
    """Run all steps."""
    from mmengine.logging import MMLogger

    from mmjoint.quickstart import NOTE, QuickStart

    MMLogger.get_instance('mmjoint', log_level='WARNING')
    root = Path(__file__).resolve().parents[1]
    images = args.images and args.images.resolve()
    quickstart = QuickStart(root, args.out.resolve(), images, args.epochs, args.seed)
    quickstart.run()
    print(f'\n{NOTE}\n\nwrote {quickstart.out}/report.html and {quickstart.out}/results.json')


if __name__ == '__main__':
    start(main, parse_args())
