"""Make a page that shows a config's pairs: crops on the photos, views, statistics, by beta."""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction

from mmjoint.engine import load_config
from mmjoint.pairs.betas import WORDS, parse_beta, split_settings
from mmjoint.pairs.source import PairSource
from mmjoint.utils.errors import DEBUG_HELP, one_line_errors
from mmjoint.utils.files import check_output, write_output
from mmjoint.visualization.browse import browse_views


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=DEBUG_HELP)
    parser.add_argument('config', help='a pretraining config, with JointView or MultiView')
    parser.add_argument('--out', type=Path, required=True, help='the page to write, such as a.html')
    parser.add_argument('--images', help="folder of photos to take instead of the config's")
    parser.add_argument(
        '--beta',
        nargs='*',
        type=parse_beta,
        metavar='BETA',
        help='betas to show; without a value the config as it is (default: the config as it is '
        f'and, if the views hold a joint augmentation, None 2 0 -2). {WORDS}',
    )
    parser.add_argument('--num-photos', type=int, default=6, help='photos shown (default: 6)')
    parser.add_argument(
        '--num-pairs', type=int, default=4000, help='pairs for the statistics (default: 4000)'
    )
    parser.add_argument('--seed', type=int, default=0, help='of photos and draws (default: 0)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='settings of the config to override',
    )
    # What load_config asks of a tool that runs training.
    parser.set_defaults(launcher='none', work_dir=None, no_pin_memory=True)
    return parser.parse_args()


def main() -> None:
    """Make the page and write it."""
    args = parse_args()
    with one_line_errors():
        check_output(args.out)
        source = PairSource(load_config(args), args.images)
        betas = None if args.beta is None else split_settings(args.beta)
        page, broken = browse_views(source, betas, args.num_photos, args.num_pairs, args.seed)
        write_output(args.out, page)
    if broken:
        more = f' and {len(broken) - 1} more' if len(broken) > 1 else ''
        print(f'warning: left out {broken[0]}{more}', file=sys.stderr)
    print(f'{args.out}: {len(page.encode()) / 1e6:.1f} MB')


if __name__ == '__main__':
    main()
