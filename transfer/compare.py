"""Compares two fine-tunings that differ in their backbone: difference, 95 % interval, trials."""

import argparse

from mmjoint.detection.comparison import compare, format_comparison, read_results
from mmjoint.utils.errors import one_line_errors


def main() -> None:
    """Read two results.json and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('first', help='work directory, or its results.json')
    parser.add_argument('second', help='the same; a positive difference is in its favor')
    args = parser.parse_args()
    with one_line_errors():
        rows = compare(read_results(args.first), read_results(args.second))
        print(format_comparison(rows, (args.first, args.second)))


if __name__ == '__main__':
    main()
