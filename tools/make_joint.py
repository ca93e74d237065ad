"""Makes a config of mmpretrain or mmselfsup 1.x joint, and prints what it changed."""

import argparse

from command_line import DEBUG_HELP, start


def beta(text: str) -> float | None:
    """Read a beta; argparse names this function where it fails."""
    return None if text == 'None' else float(text)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Make the views of a config of mmpretrain or mmselfsup 1.x joint and print the '
        'difference. What has no joint equal is refused by name.',
        epilog=DEBUG_HELP,
    )
    parser.add_argument(
        'config', help='a config file, or a name such as mmpretrain::simclr/CONFIG.py'
    )
    parser.add_argument(
        '--out', metavar='FILE', help='where to write the joint config (default: only print)'
    )
    parser.add_argument(
        '--beta',
        type=beta,
        default=0.0,
        help='of the crops: a number (default: 0, as in the paper) or None, independent crops',
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Make the config joint."""
    from mmjoint.engine.make_joint import config_diff, make_joint
    from mmjoint.utils.files import check_output, write_output

    check_output(args.out)
    stock, joint = make_joint(args.config, args.beta)
    print(config_diff(stock, joint))
    if args.out:
        write_output(args.out, joint.pretty_text)
        print(f'wrote {args.out}')


if __name__ == '__main__':
    start(main, parse_args())
