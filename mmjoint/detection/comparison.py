"""Compares two fine-tunings: the difference of two runs over paired trials."""

import json
import math
from pathlib import Path

import numpy as np

from .data import METRICS

# 97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160)
_T_MORE = ((15, 2.131), (20, 2.086), (30, 2.042), (60, 2.000), (math.inf, 1.980))


def read_results(path: str | Path) -> dict:
    """Read a run's results.

    Args:
        path (str | Path): ``results.json``, or the folder that holds it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not the result of a fine-tuning.
    """
    path = Path(path)
    path = path / 'results.json' if path.is_dir() else path
    try:
        results = json.loads(path.read_bytes())
        if not {'engine', 'task', 'config', 'trials'} <= results.keys():
            raise ValueError('engine, task, config or trials are missing')
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{path}: no such results (is the run done?)') from error
    except (ValueError, AttributeError) as error:
        raise ValueError(f'{path}: not the results of a fine-tuning ({error})') from error
    return results


def compare(first: dict, second: dict) -> list[dict]:
    """Compare two runs trial by trial, pairing trials with the same seed.

    A seed determines the order of the images and the initialization of the heads in both runs, so
    the difference of a pair varies less than each of the two.

    Args:
        first (dict): Results from ``read_results``.
        second (dict): Results with the same engine, task and config.

    Returns:
        list[dict]: For each metric: ``kind`` (``'bbox'`` or ``'segm'``), ``metric``, ``trials``
        (the number of pairs), ``first`` and ``second`` (means over the pairs), ``difference``
        (second minus first), and ``interval``, half the width of its 95 % interval by Student's t,
        None for a single pair.

    Raises:
        ValueError: The runs differ in more than their backbones, or share no seed.
    """
    for key in ('engine', 'task', 'config', 'options'):
        if first.get(key) != second.get(key):
            raise ValueError(
                f'the runs are of {key} {first.get(key)} and {second.get(key)}: a difference '
                'between them would say nothing of the backbones'
            )
    classes = [sorted((run.get('data') or {}).get('classes') or ()) for run in (first, second)]
    if classes[0] != classes[1]:
        raise ValueError('the runs are of other classes')
    by_seed = [{trial['seed']: trial for trial in run['trials']} for run in (first, second)]
    seeds = sorted(by_seed[0].keys() & by_seed[1].keys())
    if not seeds:
        raise ValueError(f'no seed is in both runs: {sorted(by_seed[0])} and {sorted(by_seed[1])}')
    rows = []
    for kind in ('bbox', 'segm'):
        for metric in METRICS:
            values = np.array(
                [
                    [trials[seed].get(kind, {}).get(metric, math.nan) for trials in by_seed]
                    for seed in seeds
                ],
                dtype=float,
            )
            if np.isnan(values).any():
                continue
            differences = values[:, 1] - values[:, 0]
            interval = None
            if len(seeds) > 1:
                interval = _t(len(seeds) - 1) * differences.std(ddof=1) / math.sqrt(len(seeds))
            rows.append(
                dict(
                    kind=kind,
                    metric=metric,
                    trials=len(seeds),
                    first=values[:, 0].mean(),
                    second=values[:, 1].mean(),
                    difference=differences.mean(),
                    interval=interval,
                )
            )
    return rows


def _t(freedom: int) -> float:
    if freedom <= len(_T):
        return _T[freedom - 1]
    # The table's next smaller entry is used, so that the interval is never too narrow.
    smaller = [_T[-1], *(value for limit, value in _T_MORE if limit <= freedom)]
    return smaller[-1]


def format_comparison(rows: list[dict], names: tuple[str, str]) -> str:
    """Format a comparison as a Markdown table.

    Args:
        rows (list[dict]): Rows from ``compare``.
        names (tuple[str, str]): Names of the two runs.

    Returns:
        str: One line per metric: both means, the difference with its 95 % interval, and the number
            of trials.
    """
    lines = [
        f'| metric | {names[0]} | {names[1]} | difference | 95 % interval | trials |',
        '|---|---|---|---|---|---|',
    ]
    label = dict(bbox='box', segm='mask')
    for row in rows:
        around = '- (one trial)'
        if row['interval'] is not None:
            low, high = (row['difference'] + sign * row['interval'] for sign in (-1, 1))
            around = f'{low:+.2f} to {high:+.2f}'
        lines.append(
            f'| {label[row["kind"]]} {row["metric"]} | {row["first"]:.1f} | {row["second"]:.1f} | '
            f'{row["difference"]:+.2f} | {around} | {row["trials"]} |'
        )
    return '\n'.join(lines)
