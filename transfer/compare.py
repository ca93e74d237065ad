"""Compares two fine-tunings that differ in their backbone: difference, 95 % interval, trials."""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / 'tools'))
from command_line import start


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('first', help='work directory, or its results.json')
    parser.add_argument('second', help='the same; a positive difference is in its favor')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Read two results.json and print the table."""
    from mmjoint.detection.comparison import compare, format_comparison, read_results

    rows = compare(read_results(args.first), read_results(args.second))
    print(format_comparison(rows, (args.first, args.second)))


if __name__ == '__main__':
    start(main, parse_args())
