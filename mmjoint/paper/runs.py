"""Reduced runs of a table: every row is trained at a size for one machine, and evaluated."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from ..checkpoints import read_checkpoint
from ..engine import read_config, save_config
from ..evaluation import knn_accuracy, labeled_splits, labelled_features, linear_accuracy
from ..pairs.betas import setting_label
from ..utils.device import choose_device, usable_cores
from ..utils.files import write_output
from ..utils.guard import check_same_run, lock_folder, unlock_folder
from ..version import __version__
from ..visualization import read_scalars
from .reduced import Reduction, reduce_config
from .results import RESULT_FILE
from .rows import Row
from .tables import get_table

_EVALUATION = threading.Lock()  # mmengine's registries belong to the whole process


def choose_rows(args: Namespace) -> tuple[Row, ...]:
    """Return the rows of the table for the requested methods."""
    table = get_table(args.table)
    rows = table.rows
    if args.run and table.of_detectors:
        raise ValueError(
            f'--table {args.table} --run: the table is of detectors; its commands run them'
        )
    if args.beta and any(row.beta for row in rows):
        raise ValueError(f'--beta: the rows of --table {args.table} set it themselves')
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


@dataclass(frozen=True)
class Machine:
    """How the reduced runs share this machine.

    Args:
        jobs (int): Runs at the same time.
        threads (int): Threads of a run's computations on the CPU.
        workers (int): Loader workers of a run.
    """

    jobs: int
    threads: int
    workers: int

    @classmethod
    def choose(cls, jobs: int | None = None) -> 'Machine':
        """Divide this machine among runs.

        On the CPU, runs with one thread each, side by side, take less time than one run after the
        other with all cores, and load their images themselves. On a GPU, the cores load images.

        Args:
            jobs (int, optional): Runs at the same time. Defaults to None: one per core, or one on a
                GPU.
        """
        cores, gpu = usable_cores(), choose_device().type != 'cpu'
        jobs = jobs or (1 if gpu else cores)
        share = max(1, cores // jobs)
        return cls(jobs, share, min(16, share) if gpu else 0)


@dataclass(frozen=True)
class Cell:
    """One run: a row with a seed.

    Args:
        row (Row): The config and what is set in it.
        seed (int): The seed of the initialization, of the order of the images and of the views.
        folder (Path): Where the run and its result are kept.
        name (str): What the run is called in the output.
    """

    row: Row
    seed: int
    folder: Path
    name: str


def run_cell(
    root: Path,
    cell: Cell,
    reduction: Reduction,
    machine: Machine,
    amp: bool = False,
    beta: str | None = None,
    evaluate: bool = True,
) -> dict:
    """Train and evaluate one row with one seed, or read the result of an earlier start.

    Args:
        root (Path): The folder that holds ``configs`` and ``tools``.
        cell (Cell): The run.
        reduction (Reduction): Its size.
        machine (Machine): Its share of the machine.
        amp (bool): Whether to train in mixed precision. Defaults to False.
        beta (str, optional): Betas that replace what all rows have, in the words of ``--beta``.
        evaluate (bool): Whether to measure kNN and linear accuracy. Defaults to True.

    Returns:
        dict: The content of the folder's ``result.json``: ``linear`` and ``knn`` in percent,
        ``first_loss`` and ``last_loss`` as logged, ``seconds`` of training, ``weights``, the
        SHA-256 of the backbone's weights, and what was run.

    Raises:
        ValueError: The training failed, or the folder holds a run with other settings.
    """
    row, folder = cell.row, cell.folder
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
        cfg = reduce_config(read_config(root / f'configs/{row.config}.py'), reduction, cell.seed)
        save_config(cfg, folder / 'config.py', '--work-dirs')
    command = [sys.executable, str(root / 'tools/train.py'), str(folder / 'config.py')]
    command += ['--work-dir', str(folder / 'run'), '--resume', *(['--amp'] if amp else [])]
    words = beta or row.beta
    command += ['--beta', *words.split()] if words else []
    if machine.workers:
        command += ['--cfg-options', f'train_dataloader.num_workers={machine.workers}']
        command += ['train_dataloader.persistent_workers=True']
    environment = dict(os.environ, OMP_NUM_THREADS=str(machine.threads))
    with open(folder / 'train.log', 'a') as log:
        status = subprocess.run(command, stdout=log, stderr=log, env=environment).returncode
    if status:
        last = (folder / 'train.log').read_text().strip().splitlines()[-1:]
        raise ValueError(f'{row.config}, seed {cell.seed}: tools/train.py failed: {"".join(last)}')
    steps, losses = read_scalars(folder / 'run')
    times = read_scalars(folder / 'run', 'time')[1]
    checkpoint = folder / f'run/epoch_{reduction.epochs}.pth'
    result = dict(config=row.config, method=row.method, variant=row.variant, seed=cell.seed)
    if row.beta:
        result['beta'] = row.beta
    if evaluate:
        with _EVALUATION:
            torch.set_num_threads(machine.threads)
            result.update(_accuracies(cfg, checkpoint))
    result.update(
        first_loss=losses[0],
        last_loss=losses[-1],
        iterations=steps[-1],
        seconds=steps[-1] * sum(times) / len(times),
        weights=_weights_sha256(checkpoint),
        scale=scale,
        versions=dict(mmjoint=__version__, torch=torch.__version__),
    )
    write_output(result_file, json.dumps(result, indent=2) + '\n')
    unlock_folder(folder)
    return result


def _accuracies(cfg: Config, checkpoint: Path | None) -> dict[str, float]:
    train, test = labelled_features(cfg, checkpoint)
    knn, linear = knn_accuracy(*train, *test), linear_accuracy(*train, *test)
    return dict(knn=knn['top1'], linear=linear['top1'])


def initial_accuracies(cfg: Config, reduction: Reduction, seed: int) -> dict[str, float]:
    """Measure the kNN and linear accuracy of the random initialization.

    Args:
        cfg (Config): A pretraining config.
        reduction (Reduction): The size to which it is reduced.
        seed (int): The seed of the initialization.

    Returns:
        dict[str, float]: ``knn`` and ``linear``, in percent.
    """
    return _accuracies(reduce_config(cfg, reduction, seed), None)


def _weights_sha256(checkpoint: Path) -> str:
    """Compute a checksum of the names and values of the backbone's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(read_checkpoint(checkpoint)['state_dict'].items()):
        if name.startswith('backbone.'):
            digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def run_cells(
    root: Path,
    cells: Sequence[Cell],
    reduction: Reduction,
    jobs: int | None = None,
    done: Callable[[Cell, dict], None] = lambda cell, result: None,
    **kwargs: Any,
) -> None:
    """Run cells side by side; print each result and the remaining time as it comes.

    Args:
        root (Path): The folder that holds ``configs`` and ``tools``.
        cells (Sequence[Cell]): The runs; those that have a result are read.
        reduction (Reduction): Their size.
        jobs (int, optional): Runs at the same time, as documented in ``Machine.choose``.
        done (Callable): Is called with each cell and its result, one at a time.
        **kwargs: Further arguments of ``run_cell``.
    """
    machine = Machine.choose(jobs)
    total, start, trained, finished = len(cells), time.time(), 0, 0
    lock = threading.Lock()

    def run(cell: Cell) -> None:
        nonlocal finished, trained
        known = (cell.folder / RESULT_FILE).is_file()
        result = run_cell(root, cell, reduction, machine, **kwargs)
        with lock:
            finished, trained = finished + 1, trained + (not known)
            left = (time.time() - start) / max(1, trained) * (total - finished)
            numbers = [f'{name} {result[name]:.2f}' for name in ('linear', 'knn') if name in result]
            numbers += [f'loss {result["last_loss"]:.3f}', f'{result["seconds"]:.0f} s']
            print(
                f'[{finished}/{total}] {cell.name}, seed {cell.seed}: {", ".join(numbers)}'
                + (' (earlier)' if known else '')
                + f'; left: {timedelta(seconds=round(left)) if trained else "?"}',
                flush=True,
            )
            done(cell, result)

    with ThreadPoolExecutor(machine.jobs) as pool:
        futures = [pool.submit(run, cell) for cell in cells]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def run_table(root: Path, args: Namespace, rows: Sequence[Row]) -> None:
    """Run all rows with all seeds.

    Args:
        root (Path): The folder that holds ``configs`` and ``tools``.
        args (Namespace): The arguments of ``tools/paper.py``.
        rows (Sequence[Row]): The rows to run.
    """
    table, reduction = get_table(args.table), make_reduction(args)
    timed = table.metrics == ('seconds',)
    if timed:  # the table compares times: one run at a time, of five epochs
        reduction = replace(reduction, epochs=args.epochs or 5)
    folder = args.work_dirs.resolve()
    # Seed by seed, so that every row has its first result before any row has its second.
    cells = [
        Cell(row, seed, folder / row.folder / f'seed{seed}', f'{row.method} {row.variant}')
        for seed in range(args.seeds)
        for row in rows
    ]
    print(f'{len(cells)} runs below {folder}', flush=True)
    run_cells(
        root,
        cells,
        reduction,
        1 if timed else args.jobs,
        amp=args.amp,
        beta=args.beta and setting_label(args.beta),
        evaluate=not timed,
    )
