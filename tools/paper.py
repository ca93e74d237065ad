"""The tables of the paper (arXiv 2412.16522): their numbers, commands and results; reduced runs.

A reduced run trains every row of a table with tools/train.py at a size that a CPU can do, with
several seeds, and measures kNN and linear accuracy of its frozen backbone. Starting it again goes
on where the last start ended.
"""

import json
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmjoint import __version__
from mmjoint.engine import save_config
from mmjoint.evaluation import knn_accuracy, labelled_features, linear_accuracy
from mmjoint.pairs.betas import WORDS, one_setting, parse_beta, setting_label
from mmjoint.paper.reduced import Reduction, reduce_config
from mmjoint.paper.results import RESULT_FILE, find_results, format_table
from mmjoint.paper.tables import (
    TABLES,
    Row,
    evaluate_command,
    format_markdown,
    get_table,
    pretrain_command,
)
from mmjoint.utils.errors import one_line_errors
from mmjoint.utils.files import write_output
from mmjoint.utils.guard import check_same_run, lock_folder, unlock_folder
from mmjoint.visualization import read_scalars

ROOT = Path(__file__).resolve().parents[1]
NOTE = (
    'A reduced run shows that a row trains and how it compares at that size. It is no '
    "reproduction of the paper's number, which is of another size and data set."
)
_EVALUATION = threading.Lock()  # mmengine's registries are the process's


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--list', action='store_true', help='list the tables')
    parser.add_argument(
        '--index', action='store_true', help='print all tables as configs/README.md has them'
    )
    parser.add_argument('--table', help='the table: ' + ', '.join(t.name for t in TABLES))
    parser.add_argument('--methods', nargs='+', metavar='METHOD', help='only these, as SimCLR')
    parser.add_argument(
        '--work-dirs', type=Path, default=Path('work_dirs'), help='folder of runs (work_dirs)'
    )
    parser.add_argument('--run', action='store_true', help='run what has no result yet')
    parser.add_argument('--scale', choices=['small'], help='the size of --run: only small')
    parser.add_argument(
        '--data-root',
        default='data/tiny-imagenet-200',
        help='labelled images, train/<class>/* and val/<class>/*, or Tiny-ImageNet as published '
        '(data/tiny-imagenet-200)',
    )
    parser.add_argument('--seeds', type=int, default=2, help='runs of each row (2)')
    parser.add_argument('--jobs', type=int, default=1, help='runs at the same time (1)')
    parser.add_argument(
        '--beta',
        nargs='+',
        type=parse_beta,
        metavar='BETA',
        help=f'beta for all rows, in place of what their configs have. {WORDS}',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision: quicker, less exact')
    for name, text in (
        ('epochs', 'epochs of a run (10)'),
        ('images', 'training images (all)'),
        ('batch-size', 'images a step (128)'),
        ('size', 'side of the views, pixels (64)'),
        ('width', "channels of the ResNet-18's first stage (32)"),
    ):
        parser.add_argument(f'--{name}', type=int, help=text)
    args = parser.parse_args()
    if args.list + args.index + (args.table is not None) != 1:
        parser.error('give one of --list, --index and --table')
    if args.run != (args.scale is not None):
        parser.error(
            '--run needs --scale small, and the other way round: full-size runs are for the '
            'commands that --table prints'
        )
    for name in ('seeds', 'jobs'):
        if getattr(args, name) < 1:
            parser.error(f'--{name} must be at least 1, got {getattr(args, name)}')
    return args


def choose_rows(args: Namespace) -> tuple[Row, ...]:
    """Return the rows of the table, of the methods asked for."""
    rows = get_table(args.table).rows
    if args.run and rows[0].probe.endswith('.sh'):
        raise ValueError(
            f'--table {args.table} --run: the table is of detectors; its commands run them'
        )
    if args.methods is None:
        return rows
    known = {row.method.lower().replace(' ', ''): row.method for row in rows}
    wanted = [name.lower().replace(' ', '') for name in args.methods]
    for name, given in zip(wanted, args.methods, strict=True):
        if name not in known:
            raise ValueError(
                f'--methods {given}: table {args.table} has {", ".join(known.values())}'
            )
    return tuple(row for row in rows if row.method.lower().replace(' ', '') in wanted)


def make_reduction(args: Namespace) -> Reduction:
    """Read the size of the runs."""
    if not Path(args.data_root, 'train').is_dir() or not Path(args.data_root, 'val').is_dir():
        raise FileNotFoundError(
            f'--data-root {args.data_root}: it must hold train/<class>/* and val/<class>/*'
        )
    names = ('epochs', 'images', 'batch_size', 'size', 'width')
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    return Reduction(str(Path(args.data_root).resolve()), **given)


def run_cell(
    row: Row, seed: int, folder: Path, reduction: Reduction, amp: bool, beta: str | None = None
) -> dict:
    """Train and evaluate one row with one seed, or read what an earlier start did."""
    scale = dict(asdict(reduction), amp=amp)
    scale['data_root'] = Path(scale['data_root']).name
    if beta:
        scale['beta'] = beta
    result_file = folder / RESULT_FILE
    if result_file.is_file():
        result = json.loads(result_file.read_text())
        check_same_run(folder, result['scale'], scale, '--work-dirs')
        return result
    lock_folder(folder)
    with _EVALUATION:
        cfg = reduce_config(Config.fromfile(ROOT / f'configs/{row.config}.py'), reduction, seed)
        save_config(cfg, folder / 'config.py', '--work-dirs')
    command = [sys.executable, str(ROOT / 'tools/train.py'), str(folder / 'config.py')]
    command += ['--work-dir', str(folder / 'run'), '--resume', *(['--amp'] if amp else [])]
    command += ['--beta', *beta.split()] if beta else []
    with open(folder / 'train.log', 'a') as log:
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode
    if status:
        last = (folder / 'train.log').read_text().strip().splitlines()[-1:]
        raise ValueError(f'{row.config}, seed {seed}: tools/train.py failed: {"".join(last)}')
    steps, losses = read_scalars(folder / 'run')
    times = read_scalars(folder / 'run', 'time')[1]
    checkpoint = folder / f'run/epoch_{reduction.epochs}.pth'
    with _EVALUATION:
        train, test = labelled_features(cfg, checkpoint)
        result = dict(
            config=row.config,
            method=row.method,
            variant=row.variant,
            seed=seed,
            knn=knn_accuracy(*train, *test)['top1'],
            linear=linear_accuracy(*train, *test)['top1'],
            first_loss=losses[0],
            last_loss=losses[-1],
            iterations=steps[-1],
            seconds=steps[-1] * sum(times) / len(times),
            scale=scale,
            versions=dict(mmjoint=__version__, torch=torch.__version__),
        )
    write_output(result_file, json.dumps(result, indent=2) + '\n')
    unlock_folder(folder)
    return result


def run_table(args: Namespace, rows: Sequence[Row]) -> None:
    """Run all rows with all seeds; print each result as it comes and the time that is left."""
    reduction, beta = make_reduction(args), args.beta and setting_label(args.beta)
    # Seed by seed: every row has its first result before any has its second.
    cells = [(row, seed) for seed in range(args.seeds) for row in rows]
    total, start, trained, done = len(cells), time.time(), 0, 0
    print(f'{total} runs below {args.work_dirs.resolve()}', flush=True)
    lock = threading.Lock()

    def run(row: Row, seed: int) -> None:
        nonlocal trained, done
        folder = args.work_dirs.resolve() / row.config.rpartition('/')[2] / f'seed{seed}'
        known = (folder / RESULT_FILE).is_file()
        result = run_cell(row, seed, folder, reduction, args.amp, beta)
        with lock:
            done, trained = done + 1, trained + (not known)
            left = (time.time() - start) / max(1, trained) * (total - done)
            print(
                f'[{done}/{total}] {row.method} {row.variant}, seed {seed}: linear '
                f'{result["linear"]:.2f}, kNN {result["knn"]:.2f}, loss {result["last_loss"]:.3f}, '
                f'{result["seconds"]:.0f} s'
                + (' (earlier)' if known else '')
                + f'; left: {timedelta(seconds=round(left)) if trained else "?"}',
                flush=True,
            )

    with ThreadPoolExecutor(args.jobs) as pool:
        futures = [pool.submit(run, *cell) for cell in cells]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def main() -> None:
    """List, print or run."""
    args = parse_args()
    MMLogger.get_instance('mmjoint', log_level='WARNING')
    if args.list:
        for table in TABLES:
            print(f'{table.name:<5}{table.label}: {table.title} ({len(table.rows)} rows)')
        return
    if args.index:
        print('\n\n'.join(format_markdown(table) for table in TABLES))
        return
    rows = choose_rows(args)
    if args.beta:
        args.beta = one_setting(args.beta)
    if args.run:
        run_table(args, rows)
        print()
    else:
        for row in rows:
            print(f'# {row.method} {row.data} {row.variant}'.replace('  ', ' '))
            beta = f' --beta {setting_label(args.beta)}' if args.beta else ''
            print(f'{pretrain_command(row)}{beta}\n{evaluate_command(row)}')
        print()
    results = find_results(args.work_dirs, rows) if args.work_dirs.is_dir() else {}
    table = get_table(args.table)
    print(format_table(type(table)(table.name, table.title, rows, table.note), results))
    if args.run:
        print(f'\n{NOTE}')


if __name__ == '__main__':
    with one_line_errors():
        main()
