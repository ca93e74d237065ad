"""Generates the embedded data set: small labeled scenes with boxes and masks."""

import argparse

from command_line import start


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Generate the embedded data set: an image folder of ten classes, and '
        'COCO JSON with boxes and masks. With the same arguments a folder is left as it is.'
    )
    parser.add_argument('out', help='folder to make')
    parser.add_argument('--train', type=int, default=2500, help='training images (default: 2500)')
    parser.add_argument('--val', type=int, default=1000, help='validation images (default: 1000)')
    parser.add_argument('--size', type=int, default=64, help='side in pixels (default: 64)')
    parser.add_argument('--seed', type=int, default=0, help='seed of all draws (default: 0)')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Generate the data set."""
    from mmjoint.datasets import make_scenes

    root = make_scenes(args.out, args.train, args.val, args.size, args.seed)
    print(f'{root}: {args.train} training and {args.val} validation images')


if __name__ == '__main__':
    start(main, parse_args())
