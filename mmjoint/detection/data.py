"""What the detection engines share: the folders of benchmarks, and the result file."""

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..utils.files import write_output

TASKS = ('voc', 'coco')
METRICS = ('AP', 'AP50', 'AP75')
# The published protocol: trained on both years' trainval, tested on 2007.
VOC_SPLITS = ('VOC2007/trainval', 'VOC2012/trainval', 'VOC2007/test')
COCO_SPLITS = ('train2017', 'val2017')


def data_root(task: str, argument: str | Path | None = None) -> Path:
    """Return the folder of a data set; the default is detectron2's.

    Args:
        task (str): ``'voc'`` or ``'coco'``.
        argument (str | Path, optional): The user's ``--voc-root`` (the VOCdevkit folder, which
            contains VOC2007 and VOC2012) or ``--coco-root`` (which contains annotations, train2017
            and val2017). Defaults to None: ``$DETECTRON2_DATASETS`` or ``datasets``, for COCO its
            subfolder ``coco``.

    Returns:
        Path: The folder, which need not exist.
    """
    if task not in TASKS:
        raise ValueError(f'task is {task!r}; expected one of {", ".join(TASKS)}')
    if argument is not None:
        return Path(argument).expanduser()
    datasets = Path(os.environ.get('DETECTRON2_DATASETS', 'datasets')).expanduser()
    return datasets / 'coco' if task == 'coco' else datasets


def summarise(trials: Sequence[dict]) -> tuple[dict, dict | None]:
    """Compute mean and standard deviation of every metric over the trials.

    Args:
        trials (Sequence[dict]): One dict per trial, ``{'seed': int, 'bbox': {'AP': ..., 'AP50':
            ..., 'AP75': ...}}``, for COCO also with ``'segm'``, in percent; other keys are ignored.
            A metric that an engine could not compute is None or NaN.

    Returns:
        tuple[dict, dict | None]: ``{'bbox': {'AP': ...}, ...}`` twice: the mean, and the sample
        standard deviation (with n - 1), which is None for a single trial. A metric that is missing
        in any trial is None.

    Raises:
        ValueError: There is no trial, or the trials do not all have the same metrics.
    """
    if not trials:
        raise ValueError('no trial to summarize')
    kinds = [kind for kind in ('bbox', 'segm') if kind in trials[0]]
    for trial in trials:
        for kind in ('bbox', 'segm'):
            if (kind in trial) != (kind in kinds) or (
                kind in trial and not {*METRICS} <= set(trial[kind])
            ):
                raise ValueError(
                    f'trial with seed {trial.get("seed")}: expected {", ".join(METRICS)} of '
                    f'{" and ".join(kinds) or "bbox"}, as in the first trial; it has {trial}'
                )
    if 'bbox' not in kinds:
        raise ValueError(f'trial with seed {trials[0].get("seed")} has no bbox: {trials[0]}')

    def over_trials(statistic: Callable) -> dict:
        return {
            kind: {
                metric: statistic([trial[kind][metric] for trial in trials]) for metric in METRICS
            }
            for kind in kinds
        }

    mean = over_trials(lambda values: _or_none(values, np.mean))
    if len(trials) == 1:
        return mean, None
    return mean, over_trials(lambda values: _or_none(values, lambda v: np.std(v, ddof=1)))


def _or_none(values: list, statistic: Callable) -> float | None:
    if any(value is None or not math.isfinite(value) for value in values):
        return None
    return float(statistic(np.asarray(values, dtype=np.float64)))


def make_results(
    engine: str,
    task: str,
    config: str,
    init: str,
    weights: dict | None,
    trials: Sequence[dict],
) -> dict:
    """Build the results that every engine writes in the same form.

    Args:
        engine (str): ``'detectron2'``, ``'mmdet'`` or ``'torchvision'``.
        task (str): ``'voc'`` or ``'coco'``.
        config (str): The recipe's name or file.
        init (str): ``'random'``, ``'torchvision'`` or the checkpoint's path.
        weights (dict, optional): The origin of the checkpoint, as ``mmjoint.checkpoints`` recorded
            it; None for a random initialization.
        trials (Sequence[dict]): Trials as in ``summarise``, with their ``seconds`` if measured.

    Returns:
        dict: The arguments, ``mean`` and ``std`` (None for a single trial).
    """
    if task not in TASKS:
        raise ValueError(f'task is {task!r}; expected one of {", ".join(TASKS)}')
    mean, std = summarise(trials)
    return dict(
        engine=engine,
        task=task,
        config=config,
        init=init,
        weights=weights,
        trials=list(trials),
        mean=mean,
        std=std,
    )


def write_results(path: str | Path, results: dict) -> None:
    """Write results as JSON to a temporary file that is moved into place; NaN becomes null.

    Args:
        path (str | Path): The file; its folder is made if it does not exist.
        results (dict): Results from ``make_results``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_output(path, json.dumps(_without_nan(results), indent=2, allow_nan=False) + '\n')


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def format_table(results: Sequence[dict]) -> str:
    """Format results like the paper's tables 3 (VOC) and 4 (COCO: masks, then boxes).

    Args:
        results (Sequence[dict]): Results from ``make_results``, one per row; all must be of one
            engine and one task, since engines differ (in schedules and metrics) by more than
            backbones do.

    Returns:
        str: A Markdown table in percent with one decimal, and the standard deviation if there are
            several trials.

    Raises:
        ValueError: The results are of several engines or tasks, or there are none.
    """
    for key in ('engine', 'task'):
        values = sorted({str(result[key]) for result in results})
        if len(values) != 1:
            raise ValueError(
                f'a table takes results of one {key}; these are of {", ".join(values) or "none"}'
            )
    kinds = [kind for kind in ('segm', 'bbox') if any(kind in result['mean'] for result in results)]
    label = {'segm': 'mask ', 'bbox': 'box ' if 'segm' in kinds else ''}
    header = ['config', 'init', 'trials']
    header += [label[kind] + metric for kind in kinds for metric in METRICS]
    rows = [
        [Path(result['config']).stem, str(result['init']), str(len(result['trials']))]
        + [_cell(result, kind, metric) for kind in kinds for metric in METRICS]
        for result in results
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ['-' * width for width in widths], *rows]
    return '\n'.join(
        '| '
        + ' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + ' |'
        for line in lines
    )


def _cell(result: dict, kind: str, metric: str) -> str:
    mean = result['mean'].get(kind, {}).get(metric)
    if mean is None:
        return '-'
    std = ((result['std'] or {}).get(kind) or {}).get(metric)
    return f'{mean:.1f}' if std is None else f'{mean:.1f} ± {std:.1f}'
