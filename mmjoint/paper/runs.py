"""Reduced runs of a table: every row is trained at a size for one machine, and evaluated."""

import json
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import torch

from ..engine import read_config, save_config
from ..evaluation import knn_accuracy, labeled_splits, labelled_features, linear_accuracy
from ..pairs.betas import setting_label
from ..utils.files import write_output
from ..utils.guard import check_same_run, lock_folder, unlock_folder
from ..version import __version__
from ..visualization import read_scalars
from .reduced import Reduction, reduce_config
from .results import RESULT_FILE
from .tables import Row, get_table

_EVALUATION = threading.Lock()  # mmengine's registries belong to the whole process


def choose_rows(args: Namespace) -> tuple[Row, ...]:
    """Return the rows of the table for the requested methods."""
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
    """Read the size of the runs from the command line."""
    try:
        labeled_splits(args.data_root)
    except ValueError as error:
        raise ValueError(f'--data-root {error}') from None
    names = ('epochs', 'images', 'batch_size', 'size', 'width')
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    return Reduction(str(Path(args.data_root).resolve()), **given)


def run_cell(
    root: Path,
    row: Row,
    seed: int,
    folder: Path,
    reduction: Reduction,
    amp: bool,
    beta: str | None = None,
) -> dict:
    """Train and evaluate one row with one seed, or read the result of an earlier start."""
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
        cfg = reduce_config(read_config(root / f'configs/{row.config}.py'), reduction, seed)
        save_config(cfg, folder / 'config.py', '--work-dirs')
    command = [sys.executable, str(root / 'tools/train.py'), str(folder / 'config.py')]
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


def run_table(root: Path, args: Namespace, rows: Sequence[Row]) -> None:
    """Run all rows with all seeds; print each result and the remaining time as it comes.

    Args:
        root (Path): The folder that holds ``configs`` and ``tools``.
        args (Namespace): The arguments of ``tools/paper.py``.
        rows (Sequence[Row]): The rows to run.
    """
    reduction, beta = make_reduction(args), args.beta and setting_label(args.beta)
    # Seed by seed, so that every row has its first result before any row has its second.
    cells = [(row, seed) for seed in range(args.seeds) for row in rows]
    total, start, trained, done = len(cells), time.time(), 0, 0
    print(f'{total} runs below {args.work_dirs.resolve()}', flush=True)
    lock = threading.Lock()

    def run(row: Row, seed: int) -> None:
        nonlocal trained, done
        folder = args.work_dirs.resolve() / row.config.rpartition('/')[2] / f'seed{seed}'
        known = (folder / RESULT_FILE).is_file()
        result = run_cell(root, row, seed, folder, reduction, args.amp, beta)
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
