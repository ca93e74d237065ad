"""Views through a DataLoader: speed by the number of workers, and their memory."""

import gc
import itertools
import multiprocessing
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from rounds import LEAST_ROUNDS, one_thread, summary

from .makers import raising

# The fields of smaps_rollup whose sum is each measure.
_MEMORY = dict(rss=('Rss',), pss=('Pss',), uss=('Private_Clean', 'Private_Dirty'))


def benchmark_loader(
    folder: str | Path,
    pipeline: list[dict],
    loader: dict,
    workers: Sequence[int],
    seconds: float = 60.0,
    multi_processing: dict | None = None,
    batches: int = 4,
    seed: int = 0,
) -> dict:
    """Measure of how many photos a data loader makes the views per second, by number of workers.

    The time is wall time from batch to batch, after the first batches of all workers and those that
    they prefetch; the batches are only collated and received. The numbers of workers take turns in
    rounds, in a newly drawn order.

    Args:
        folder (str | Path): Folder of photos, read by ``ImageFolder``.
        pipeline (list[dict]): ``train_pipeline`` of a config.
        loader (dict): ``train_dataloader`` of a config; its data set, sampler and number of workers
            are replaced.
        workers (Sequence[int]): Numbers of workers; 0 is the main process.
        seconds (float): Duration of the measurement. At least three rounds are made. Defaults to
            60.
        multi_processing (dict, optional): ``env_cfg.mp_cfg`` of a config. Defaults to None, fork.
        batches (int): Batches that each worker makes in the measured part. Defaults to 4.
        seed (int): Seed of the order of photos and of numbers of workers. Defaults to 0.

    Returns:
        dict: ``rounds``, a list of pairs per second by number of workers, as text; over the rounds,
            as ``dict(median, quartiles)``, ``pairs_per_second`` and ``times_one_worker`` (within a
            round; None without one worker); ``workers``, medians over workers and rounds: ``rss``,
            ``pss`` (shared memory counted in part) and ``uss`` (only unshared memory) in MiB, and
            ``core``, the share of a core that the worker got (if it is much below 1, the cores were
            busy with other work), each None if the system does not provide it; ``batch_size``; and
            ``prefetch_factor``.

    Raises:
        ValueError: ``workers`` is empty or holds a negative number, or the folder has no photo.
    """
    if not workers or min(workers) < 0:
        raise ValueError(f'workers must be numbers of at least 0, got {list(workers)}')
    one_thread()
    set_multi_processing(**{'mp_start_method': 'fork', **(multi_processing or {})})
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(
            dict(type='ImageFolder', data_root=str(folder), pipeline=raising(pipeline))
        )
        dataset.full_init()
    loader = {key: value for key, value in loader.items() if key not in ('dataset', 'sampler')}
    rng = np.random.default_rng(seed)
    rounds: list[dict[str, float]] = []
    used: dict[str, list[dict]] = {str(num): [] for num in workers}
    start = time.perf_counter()
    while len(rounds) < LEAST_ROUNDS or time.perf_counter() - start < seconds:
        speeds = {}
        for num in rng.permutation(list(workers)).tolist():
            cfg = dict(
                loader,
                dataset=dataset,
                sampler=dict(type='InfiniteSampler', shuffle=True),
                num_workers=num,
                persistent_workers=num > 0,
            )
            if num == 0:
                cfg.pop('prefetch_factor', None)
            speeds[str(num)], of_workers = _run(cfg, batches, seed + len(rounds))
            used[str(num)] += of_workers
        rounds.append({str(num): speeds[str(num)] for num in workers})
    return dict(
        rounds=rounds,
        pairs_per_second={name: summary([r[name] for r in rounds]) for name in rounds[0]},
        times_one_worker={name: summary([r[name] / r['1'] for r in rounds]) for name in rounds[0]}
        if 1 in workers
        else None,
        workers={
            name: {key: statistics.median(row[key] for row in rows) for key in rows[0]}
            if rows
            else None
            for name, rows in used.items()
        },
        batch_size=loader['batch_size'],
        prefetch_factor=loader.get('prefetch_factor', 2),
    )


def _run(cfg: dict, batches: int, seed: int) -> tuple[float, list[dict[str, float]]]:
    """Measure one loader: pairs per second, and memory and share of a core of each worker."""
    num = cfg['num_workers']
    others = set(multiprocessing.active_children())
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loader = Runner.build_dataloader(cfg, seed=seed)
    received = iter(loader)
    ahead = num * cfg.get('prefetch_factor', 2)
    for _ in itertools.islice(received, ahead + max(1, num)):
        pass
    workers = [child.pid for child in set(multiprocessing.active_children()) - others]
    measured = batches * max(1, num)
    start, before = time.perf_counter(), [_cpu_seconds(pid) for pid in workers]
    for _ in itertools.islice(received, measured):
        pass
    seconds = time.perf_counter() - start
    used = [
        dict(_memory(pid), core=(_cpu_seconds(pid) - spent) / seconds)
        for pid, spent in zip(workers, before, strict=True)
        if spent is not None
    ]
    del received, loader
    gc.collect()  # ends the workers
    return measured * cfg['batch_size'] / seconds, used


def _cpu_seconds(pid: int) -> float | None:
    """Return the CPU time of a process so far; None if there is no /proc."""
    file = Path(f'/proc/{pid}/stat')
    if not file.exists():
        return None
    fields = file.read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def _memory(pid: int) -> dict[str, float]:
    """Return the memory of a process in MiB."""
    lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()[1:]
    kib = {line.split(':')[0]: int(line.split()[1]) for line in lines}
    return {kind: sum(kib[field] for field in fields) / 1024 for kind, fields in _MEMORY.items()}
