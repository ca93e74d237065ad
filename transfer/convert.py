"""Writes the backbone of a checkpoint in another program's format."""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / 'tools'))
from command_line import start

# Those of mmjoint.checkpoints, which takes seconds to import.
TARGETS = ('detectron2', 'torchvision', 'timm', 'mmdet', 'mm')
DEPTHS = (18, 34, 50, 101)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'checkpoint',
        help="from mmpretrain's, mmselfsup's, MoCo's or DINO's training, of torchvision, timm, or "
        'written by this command',
    )
    parser.add_argument(
        'out',
        help='.pkl for detectron2, .pth or (timm) .safetensors; for timm also a new folder, with '
        'config.json, model.safetensors and a model card',
    )
    parser.add_argument('--to', required=True, choices=TARGETS, help='the format to write')
    parser.add_argument(
        '--which',
        default='online',
        choices=('online', 'momentum'),
        help="the network trained by gradients or its moving average (DINO's teacher); "
        'default: online',
    )
    parser.add_argument(
        '--depth', type=int, choices=DEPTHS, help='depth that the backbone must have'
    )
    parser.add_argument(
        '--trust',
        action='store_true',
        help='let the checkpoint run any code, if it holds more than weights',
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Convert the checkpoint and print what was taken from where."""
    from mmjoint.checkpoints import convert

    made = convert(args.checkpoint, args.out, args.to, args.which, args.trust, args.depth)
    known = [f'{key} {made[key]}' for key in ('algorithm', 'epoch') if made[key] is not None]
    print(
        f'wrote {args.out} for {args.to}: ResNet-{made["depth"]}, {made["stem"]} stem, '
        f'{made["which"]} backbone of {args.checkpoint} ({made["format"]}, prefix '
        f'{made["prefix"]!r}{"".join(f", {fact}" for fact in known)})'
    )
    for other in set(made['available']) - {made['which']}:
        print(f'the checkpoint has another backbone: --which {other}')


if __name__ == '__main__':
    start(main, parse_args())
