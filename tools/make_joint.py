"""Makes a stock mmpretrain config joint, and prints what it changed."""

import argparse

from command_line import DEBUG_HELP, start


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Make the views of a stock mmpretrain config joint and print the difference. '
        'What has no joint equal is refused by name.',
        epilog=DEBUG_HELP,
    )
    parser.add_argument(
        'config', help='a config file, or a name such as mmpretrain::simclr/CONFIG.py'
    )
    parser.add_argument(
        '--out', metavar='FILE', help='where to write the joint config (default: only print)'
    )
    parser.add_argument(
        '--beta', type=float, default=0, help='of the crops (default: 0, as in the paper)'
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
