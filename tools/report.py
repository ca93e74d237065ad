"""Show runs side by side on a page: settings, curves, accuracies, SDF, detection, pairs."""

import argparse
from pathlib import Path

from command_line import DEBUG_HELP, start


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=DEBUG_HELP)
    parser.add_argument(
        'work_dirs',
        nargs='+',
        metavar='WORK_DIR',
        help='folder of a run; its evaluation.json, sdf.json and detection/results.json are shown',
    )
    parser.add_argument('--out', required=True, metavar='FILE', help='the HTML file')
    parser.add_argument('--title', default='Runs side by side', help='heading of the page')
    parser.add_argument(
        '--names', nargs='+', metavar='NAME', help="names of the runs (default: the folders' names)"
    )
    parser.add_argument(
        '--pairs', type=int, default=4, help='pairs shown for each run (default: 4)'
    )
    parser.add_argument(
        '--tsne',
        nargs='?',
        const='',
        metavar='FOLDER',
        help='picture the features of the last checkpoint by t-SNE, on the test images of a '
        "labeled folder or of the config's kNN data loaders",
    )
    args = parser.parse_args()
    if args.names and len(args.names) != len(args.work_dirs):
        parser.error(f'{len(args.names)} --names for {len(args.work_dirs)} work directories')
    if args.pairs < 0:
        parser.error(f'--pairs must be 0 or more, got {args.pairs}')
    return args


def unique_names(work_dirs: list[str]) -> list[str]:
    """Return the folders' names, with as much of the path as is needed to tell them apart."""
    parts = [Path(work_dir).resolve().parts for work_dir in work_dirs]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ['/'.join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise ValueError(f'a work directory is named twice: {", ".join(work_dirs)}')


def main(args: argparse.Namespace) -> None:
    """Read the runs and write the page."""
    from mmengine.logging import MMLogger

    from mmjoint.utils.files import check_output
    from mmjoint.visualization import add_embedding, add_pairs, read_run, write_report

    MMLogger.get_instance('mmjoint', log_level='WARNING')
    check_output(args.out)
    names = args.names or unique_names(args.work_dirs)
    runs = [read_run(*run) for run in zip(args.work_dirs, names, strict=True)]
    for run in runs:
        if args.pairs:
            add_pairs(run, args.pairs)
        if args.tsne is not None:
            add_embedding(run, args.tsne or None)
    write_report(args.out, args.title, runs=runs)
    for run in runs:
        for note in run.notes:
            print(f'{run.name}: {note}')
    print(f'wrote {args.out}')


if __name__ == '__main__':
    start(main, parse_args())
