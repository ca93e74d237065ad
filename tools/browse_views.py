"""Make a page that shows a config's pairs by beta: crops on the photos, views, statistics."""

import argparse
import sys
from pathlib import Path

from command_line import BETA_WORDS, DEBUG_HELP, add_config_options, start


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=DEBUG_HELP)
    parser.add_argument('config', help='a pretraining config, with JointView or MultiView')
    parser.add_argument('--out', type=Path, required=True, help='the page to write, such as a.html')
    parser.add_argument('--images', help="folder of photos to use instead of the config's")
    parser.add_argument(
        '--beta',
        nargs='*',
        metavar='BETA',
        help='betas to show; without a value the config as it is (default: the config as it is '
        f'and, if the views hold a joint augmentation, None 2 0 -2). {BETA_WORDS}',
    )
    parser.add_argument('--num-photos', type=int, default=6, help='photos shown (default: 6)')
    parser.add_argument(
        '--num-pairs', type=int, default=4000, help='pairs for the statistics (default: 4000)'
    )
    parser.add_argument(
        '--replay',
        nargs='+',
        metavar='EPOCH:INDEX',
        help='show the views that a run of this config trained on: pass over the data and index in '
        "the data set, both from 0, as a batch's data samples and non_finite_loss.json tell them, "
        'or EPOCH:FILE',
    )
    parser.add_argument(
        '--seed',
        type=int,
        help="of photos and draws (default: 0; with --replay the config's randomness.seed)",
    )
    add_config_options(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Make the page and write it to a file."""
    from mmjoint.engine import read_config
    from mmjoint.pairs.betas import parse_beta, split_settings
    from mmjoint.pairs.source import PairSource
    from mmjoint.utils.files import check_output, encode, write_output
    from mmjoint.visualization.browse import browse_views

    check_output(args.out)
    betas = None
    if args.beta is not None:
        betas = split_settings([parse_beta(word) for word in args.beta])
    cfg = read_config(args.config, args.cfg_options)
    source = PairSource(cfg, args.images)
    if args.replay:
        if betas:
            raise ValueError('--replay shows what a run drew: give the config that the run saved')
        betas = []
        if args.seed is None:
            args.seed = (cfg.get('randomness') or {}).get('seed')
        if args.seed is None:
            raise ValueError(
                f'--replay: {args.config} has no randomness.seed; give --seed, which the log of '
                'the run has'
            )
    page, broken = browse_views(
        source, betas, args.num_photos, args.num_pairs, args.seed or 0, args.replay or ()
    )
    write_output(args.out, page)
    if broken:
        more = f' and {len(broken) - 1} more' if len(broken) > 1 else ''
        print(f'warning: left out {broken[0]}{more}', file=sys.stderr)
    print(f'{args.out}: {len(encode(page)) / 1e6:.1f} MB')


if __name__ == '__main__':
    start(main, parse_args())
