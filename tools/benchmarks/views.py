"""Measure how fast views are made from folders of photos, by mmjoint and by other libraries."""

import argparse
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# albumentations, which mmpretrain imports if it is there, asks PyPI for its newest version.
os.environ['NO_ALBUMENTATIONS_UPDATE'] = '1'
# The speed of one core is measured. This must precede the first import of NumPy and torch, which
# the functions below import.
THREADS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')
os.environ.update(dict.fromkeys(THREADS, '1'))

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command_line import DEBUG_HELP, start  # noqa: E402

BASE = Path(__file__).resolve().parents[2] / 'configs/_base_'
SUFFIXES = ('.jpeg', '.jpg', '.png', '.webp')
RECIPES = ('simclr', 'mocov2', 'mocov3', 'multicrop', 'small')  # of view_benchmark
FORMATS = ('.pdf', '.png', '.svg')
PACKAGES = (
    'mmjoint',
    'onedl-mmpretrain',
    'torch',
    'torchvision',
    'numpy',
    'numba',
    'opencv-python',
    'pillow',
    'simplejpeg',
    'albumentations',
    'lightly',
    'kornia',
)


def whole(least: int):
    """Return an argument type: a whole number of at least ``least``."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f'{text!r} is not a whole number of at least {least}')
        return int(text)

    return parse


def duration(text: str) -> float:
    """Read a number of seconds."""
    if not text.replace('.', '', 1).isdecimal():
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of seconds')
    return float(text)


def recipe(text: str) -> tuple[str, Path | None]:
    """Read NAME or NAME=FOLDER."""
    name, _, folder = text.partition('=')
    if name not in RECIPES:
        raise argparse.ArgumentTypeError(f'{name!r} is none of {", ".join(RECIPES)}')
    return name, Path(folder) if folder else None


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=DEBUG_HELP)
    parser.add_argument(
        'folder', type=Path, help=f'photos ({", ".join(SUFFIXES)}), searched with its subfolders'
    )
    parser.add_argument(
        '--recipe',
        nargs='+',
        type=recipe,
        default=[('simclr', None)],
        metavar='NAME[=FOLDER]',
        help=f'recipes to measure, of {", ".join(RECIPES)} (default: simclr); with a folder, on '
        'photos of its own, as small=TINY_IMAGENET',
    )
    parser.add_argument(
        '--seconds', type=duration, default=60, help='how long to measure a recipe (default: 60)'
    )
    parser.add_argument(
        '--photos-per-round', type=whole(1), default=20, help='photos per round (default: 20)'
    )
    parser.add_argument(
        '--workers',
        nargs='+',
        type=whole(0),
        default=[],
        metavar='N',
        help='measure the first recipe through data loaders with these numbers of workers too, as '
        '0 1 2 (default: not)',
    )
    parser.add_argument('--loader-seconds', type=duration, help='for all --workers (default: 120)')
    parser.add_argument(
        '--batch-size', type=whole(1), help="batch size of those loaders (default: the configs')"
    )
    parser.add_argument(
        '--profile', action='store_true', help="time the steps of mmjoint's pipelines too"
    )
    parser.add_argument('--seed', type=whole(0), default=0, help='seed of all orders (default: 0)')
    parser.add_argument('--json', type=Path, help='file to write the result to')
    parser.add_argument('--plot', type=Path, help='.png, .svg or .pdf to plot to')
    args = parser.parse_args()
    if args.plot and args.plot.suffix not in FORMATS:
        parser.error(f'--plot {args.plot}: the name must end with one of {", ".join(FORMATS)}')
    names = [name for name, _ in args.recipe]
    if len(set(names)) < len(names):
        parser.error(f'--recipe {" ".join(names)}: each may be named once')
    if not args.workers and (args.batch_size or args.loader_seconds is not None):
        parser.error('--batch-size and --loader-seconds are for --workers, which is not given')
    if args.loader_seconds is None:
        args.loader_seconds = 120.0
    return args


def find_photos(folder: Path) -> list[str]:
    """Return the photos of a folder, sorted."""
    from mmjoint.datasets import list_images

    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: no such folder of photos')
    files = [str(folder / name) for name in list_images(folder, SUFFIXES)]
    if not files:
        raise ValueError(f'{folder}: no photo in it (looked for {", ".join(SUFFIXES)})')
    return files


def setting(args: argparse.Namespace) -> dict:
    """Return everything besides the code on which the numbers depend."""
    import cv2
    import torch

    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    cpu = platform.processor()
    if Path('/proc/cpuinfo').exists():
        lines = Path('/proc/cpuinfo').read_text().splitlines()
        cpu = next((line.split(': ')[1] for line in lines if line.startswith('model name')), cpu)
    options = {name: value for name, value in vars(args).items() if name not in ('json', 'plot')}
    return dict(
        options=options,
        versions=dict(python=platform.python_version(), **versions),
        cpu=cpu,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
        simd=torch.backends.cpu.get_cpu_capability(),
        threads=dict(torch=torch.get_num_threads(), opencv=cv2.getNumThreads())
        | {name: os.environ[name] for name in THREADS},
    )


def cells(row: dict, digits: int) -> str:
    """Format a median and its quartiles."""
    low, high = row['quartiles']
    return f'{row["median"]:10.{digits}f}  {low:7.{digits}f} -{high:8.{digits}f}'


def print_recipe(name: str, result: dict) -> None:
    """Print one recipe's table."""
    print(
        f'\n{name}: {result["photos"]} photos, {len(result["rounds"])} rounds, one core, CPU time'
    )
    print(f'{"":26}{"pairs/s (quartiles)":>29}{"mmjoint joint is times this":>31}')
    for maker, speed in result['pairs_per_second'].items():
        print(f'{maker:26}{cells(speed, 1)}   {cells(result["joint_times"][maker], 3)}')
    for missing in result['missing']:
        print(f"{missing:26} not installed (pip install 'mmjoint[bench]' to compare with it)")
    for maker, about in result['about'].items():
        print(f'  {maker}: {about}')
    if 'profile' in result:
        print(f'{"what each step adds":26}{"ms per view (quartiles)":>29}')
        for step, milliseconds in result['profile'].items():
            print(f'{step:26}{cells(milliseconds, 3)}')


def print_loader(result: dict) -> None:
    """Print the loader's table."""
    print(
        f'\n{result["recipe"]} through a data loader, mmjoint joint: batches of '
        f'{result["batch_size"]}, {result["prefetch_factor"]} per worker prefetched, '
        f'{len(result["rounds"])} rounds, wall time'
    )
    of_worker = 'per worker: core   RSS   PSS   USS (MiB)'
    print(f'{"workers":10}{"pairs/s (quartiles)":>29}{"times one worker":>31}   {of_worker}')
    for num, speed in result['pairs_per_second'].items():
        ratio = cells(result['times_one_worker'][num], 2) if result['times_one_worker'] else ''
        row = f'{num:10}{cells(speed, 1)}   {ratio:28}'
        if used := result['workers'][num]:
            row += f'{used["core"]:17.2f}{used["rss"]:6.0f}{used["pss"]:6.0f}{used["uss"]:6.0f}'
        print(row)


def main(args: argparse.Namespace) -> None:
    """Measure, print and write the result."""
    from mmengine.config import Config
    from view_benchmark import (
        CONFIGS,
        benchmark_loader,
        benchmark_views,
        joint_pipeline,
        one_thread,
        plot_benchmark,
        profile_views,
    )

    from mmjoint.utils.files import check_output, write_output
    from mmjoint.visualization.plots import write_plot

    for path in (args.json, args.plot):
        check_output(path)
    folders = {name: folder or args.folder for name, folder in args.recipe}
    photos = {name: find_photos(folder) for name, folder in folders.items()}
    pipelines = {
        name: Config.fromfile(BASE / f'views/{CONFIGS[name]}.py').train_pipeline for name in folders
    }
    one_thread()
    result = setting(args)
    print(f'{result["cpu"]}, {result["cores"]} cores; torch and OpenCV on one thread')
    if args.workers:
        # The loader comes first: its workers then share a process without the peers' memory.
        first = next(iter(folders))
        loader = Config.fromfile(BASE / 'datasets/train_loader.py').train_dataloader
        if args.batch_size:
            loader.batch_size = args.batch_size
        result['loader'] = dict(
            recipe=first,
            **benchmark_loader(
                folders[first],
                joint_pipeline(pipelines[first]),
                loader,
                args.workers,
                args.loader_seconds,
                Config.fromfile(BASE / 'default_runtime.py').env_cfg.mp_cfg,
                seed=args.seed,
            ),
        )
        print_loader(result['loader'])
    result['recipes'] = {}
    for name, files in photos.items():
        measure = (args.seconds, args.photos_per_round, args.seed)
        measured = benchmark_views(files, name, pipelines[name], *measure)
        if args.profile:
            measured['profile'] = profile_views(
                files, joint_pipeline(pipelines[name]), args.seconds / 3, *measure[1:]
            )
        result['recipes'][name] = dict(photos=len(files), **measured)
        print_recipe(name, result['recipes'][name])
    if args.json:
        write_output(args.json, json.dumps(result, indent=2, default=str) + '\n')
    if args.plot:
        write_plot(args.plot, plot_benchmark(result['recipes'], result.get('loader')))


if __name__ == '__main__':
    start(main, parse_args())
