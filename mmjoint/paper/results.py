"""Results of the rows of a table: found in a folder of runs and compared with the baseline."""

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from ..engine.dumped import read_dumped_config
from ..visualization.runs import read_rows
from .rows import Row, Table, number

RESULT_FILE = 'result.json'


def find_results(work_dirs: str | Path, rows: Sequence[Row]) -> dict[str, list[dict]]:
    """Find the measured results of the rows.

    Two kinds of files count: the ``result.json`` of a reduced run, which names its config, and the
    log of a linear probe whose backbone is a checkpoint in a folder with the name of a row's
    config, such as ``work_dirs/<config>/epoch_100.pth``.

    Args:
        work_dirs (str | Path): Folder to search, at any depth.
        rows (Sequence[Row]): The rows; rows of detectors have no results here.

    Returns:
        dict[str, list[dict]]: Maps the key of each row to its results, in the order of their paths.
        A result has ``path``, ``scale`` (what was reduced; None for nothing), ``seed`` (None if not
        known) and, in percent, ``linear`` and possibly ``knn``.

    Raises:
        ValueError: A result file cannot be read; the message names it.
    """
    rows = [row for row in rows if not row.probe.endswith('.sh')]
    results: dict[str, list[dict]] = {row.key: [] for row in rows}
    for path in sorted(Path(work_dirs).rglob(RESULT_FILE)):
        try:
            result = json.loads(path.read_text())
            key, scale = f'{result["config"]} {result.get("beta", "")}'.rstrip(), result['scale']
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f'{path}: not a result of tools/paper.py ({error!r})') from error
        if key in results:
            results[key].append(dict(result, scale=scale, path=str(path)))
    names = {row.config.rpartition('/')[2]: row.config for row in rows if not row.beta}
    for path in sorted(Path(work_dirs).rglob('vis_data/scalars.json')):
        values = read_rows(path)
        accuracies = [row['accuracy/top1'] for row in values if 'accuracy/top1' in row]
        config = path.with_name('config.py')
        if not accuracies or not config.is_file():
            continue
        settings, _ = read_dumped_config(config)
        settings = settings.to_dict()
        for key in ('model', 'backbone', 'init_cfg', 'checkpoint'):
            settings = settings.get(key) if isinstance(settings, dict) else None
        name = Path(settings).parent.name if isinstance(settings, str) else ''
        if name in names:
            results[names[name]].append(
                dict(path=str(path), scale=None, seed=None, linear=accuracies[-1])
            )
    return results


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and its standard error.

    Args:
        values (Sequence[float]): At least one value.

    Returns:
        tuple[float, float | None]: The mean, and the sample standard deviation divided by the
        square root of the number of values; None for a single value.
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None
    return mean, statistics.stdev(values) / math.sqrt(len(values))


def format_mean(
    values: Sequence[float], digits: int = 2, sign: str = '', between: str = '+-'
) -> str:
    """Format the mean of values and, if there are several, its standard error.

    Args:
        values (Sequence[float]): At least one value.
        digits (int): Decimals of both. Defaults to 2.
        sign (str): ``'+'`` for a sign in front of a positive mean too. Defaults to ``''``.
        between (str): What stands between the two. Defaults to ``'+-'``.
    """
    mean, error = mean_and_error(values)
    return f'{mean:{sign}.{digits}f}' + ('' if error is None else f' {between} {error:.{digits}f}')


def paired_differences(
    results: Sequence[dict], baseline: Sequence[dict], metric: str
) -> list[float]:
    """Return the differences of results from the baseline's results with the same seed.

    Args:
        results, baseline (Sequence[dict]): Results with ``seed`` and the metric.
        metric (str): ``'linear'``, ``'knn'`` or ``'seconds'``.

    Returns:
        list[float]: One difference for each seed that both have, sorted by seed; results without a
        seed or without the metric are ignored.
    """
    ours, theirs = (
        {r['seed']: r[metric] for r in group if r.get('seed') is not None and metric in r}
        for group in (results, baseline)
    )
    return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]


def format_table(table: Table, results: dict[str, list[dict]]) -> str:
    """Format a table as text: the paper's numbers and the results, as mean and standard error.

    Args:
        table (Table): The table.
        results (dict[str, list[dict]]): From :func:`find_results`.

    Returns:
        str: Lines of text. Reduced runs of different settings and full-size runs are not mixed:
            each kind has separate lines.
    """
    found = [r for row in table.rows for r in results.get(row.key, [])]
    scales = {json.dumps(r['scale'], sort_keys=True): r['scale'] for r in found}
    lines = [f'{table.label}: {table.title}']
    if table.note:
        lines.append(table.note)
    lines.append(_line('', '', 'paper', 'difference'))
    for row in table.rows:
        gain = table.gain_of(row)
        more = ', '.join(f'{name} {value:.1f}' for name, value in row.more.items())
        told = '' if gain is None else f'{gain:+.2f}'
        lines.append(_line(_method(row), row.variant, number(row.accuracy), told, '', more))
    if table.of_detectors:
        lines.append("the detectors' results lie in their own work directories")
    elif not scales:
        lines.append('no results found')
    for key, scale in scales.items():
        chosen = {
            name: [r for r in group if json.dumps(r['scale'], sort_keys=True) == key]
            for name, group in results.items()
        }
        size = 'full size' if scale is None else 'reduced: ' + _settings(scale)
        for metric in table.metrics:
            lines += _metric_lines(table, chosen, metric, size)
    return '\n'.join(lines)


def _metric_lines(
    table: Table, results: dict[str, list[dict]], metric: str, size: str
) -> list[str]:
    rows = [row for row in table.rows if any(metric in r for r in results.get(row.key, []))]
    if not rows:
        return []
    title = f'{metric} accuracy +- standard error of the mean'
    if metric == 'seconds':
        title = 'seconds of training +- standard error of the mean'
    lines = ['', f'{title}; {size}']
    lines.append(_line('', '', 'mean', 'difference, paired by seed', 'runs'))
    for row in rows:
        values = [r[metric] for r in results[row.key] if metric in r]
        baseline = results.get(table.baseline_of(row).key, [])
        gains = paired_differences(results[row.key], baseline, metric)
        if row is table.baseline_of(row):
            gains = []
        gain = format_mean(gains, sign='+') if gains else ''
        lines.append(_line(_method(row), row.variant, format_mean(values), gain, str(len(values))))
    return lines


def _settings(scale: dict) -> str:
    return ', '.join(f'{key} {value}' for key, value in scale.items() if value is not None)


def _method(row: Row) -> str:
    return f'{row.method}, {row.data}' if row.data else row.method


def _line(*columns: str) -> str:
    widths = (24, 30, 18, 28, 6, 60)
    return ''.join(
        f'{text:<{width}}' for text, width in zip(columns, widths, strict=False)
    ).rstrip()
