"""Measures the cost of loading: JPEG decoders, and data sets with up to millions of entries."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command_line import start

COLUMNS = (
    'build_s',
    'peak_mb',
    'held_mb',
    'worker_mb',
    'index_us',
    'shuffle_s',
    'shuffle_mb',
)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Measure JPEG decoders on your photos, and, on entries that are made up, what '
        'data sets cost before they give an image.'
    )
    parser.add_argument('--photos', metavar='FOLDER', help='JPEGs, to compare decoders on')
    parser.add_argument(
        '--seconds', type=float, default=60, help='how long to measure decoders (default: 60)'
    )
    parser.add_argument(
        '--entries',
        type=int,
        nargs='*',
        default=[10_000, 100_000, 1_000_000],
        metavar='N',
        help='sizes of data sets (default: 10000 100000 1000000; 10000000 takes 8 GB and minutes)',
    )
    parser.add_argument(
        '--max-files',
        type=int,
        default=1_000_000,
        metavar='N',
        help='the largest folder to make, of empty files (default: 1000000)',
    )
    parser.add_argument(
        '--tmp', metavar='FOLDER', help="where to make them (default: the system's)"
    )
    parser.add_argument('--json', metavar='FILE', help='file to write the result to')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Run the benchmarks."""
    from mmjoint.utils.files import check_output, write_output

    check_output(args.json)
    from loading_benchmark import benchmark_decoders, measure_growth

    from mmjoint.datasets import ImageFolder

    result: dict = dict(growth=[])
    if args.entries:
        print(f'{"entries":>9} {"":16}' + ''.join(f'{name:>11}' for name in COLUMNS))
    for entries in args.entries:
        for kind in ('annotation file', 'folder', 'shards'):
            if kind == 'folder' and entries > args.max_files:
                continue
            with tempfile.TemporaryDirectory(dir=args.tmp) as folder:
                row = measure_growth(kind, entries, folder)
            result['growth'].append(dict(kind=kind, entries=entries, **row))
            cells = ''.join(f'{row[name]:11.3g}' for name in COLUMNS)
            print(f'{entries:9} {kind:16}{cells}', flush=True)
    if args.photos:
        photos = ImageFolder(args.photos)
        files = [photos.get_data_info(i)['img_path'] for i in range(len(photos))]
        result['decoders'] = benchmark_decoders(files, args.seconds)
        print_decoders(result['decoders'])
    if args.json:
        write_output(args.json, json.dumps(result, indent=2) + '\n')


def print_decoders(result: dict) -> None:
    """Print the table of ``benchmark_decoders``."""
    print(f'{result["photos"]} photos, {result["rounds"]} rounds')
    print(f'{"":22}{"ms/photo":>11}{"times OpenCV":>25}   pixels against OpenCV')
    for name, row in result['decoders'].items():
        ratio, pixels = row['times_opencv'], row['pixels']
        told = 'another size'
        if pixels:
            told = f'{pixels["identical"]} identical'
            if pixels['psnr'] is not None:
                told += f', largest difference {pixels["largest"]}, PSNR {pixels["psnr"]:.1f} dB'
        low, high = ratio['quartiles']
        print(
            f'{name:22}{row["milliseconds"]["median"]:11.3f}{ratio["median"]:12.2f} '
            f'({low:.2f}-{high:.2f})   {told}'
        )


if __name__ == '__main__':
    start(main, parse_args())
