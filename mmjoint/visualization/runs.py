"""The content of a training run's work directory, read for the report."""

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from ..engine.dumped import read_dumped_config
from ..engine.options import TOP_LEVEL_KEYS

Curve = tuple[list[int], list[float]]

# Scalars that the report's charts show, if a run has logged them.
CURVES = (
    'loss',
    'knn/top1',
    'collapse/std',
    'collapse/directions',
    'collapse/positive',
    'collapse/negative',
    'pairs/area_beyond_2',
    'beta/beta',
    'beta/cosine',
    'beta/accuracy',
    'lr',
)
# The settings that determine what a run computes. The named parts of which a config is made, such
# as `views`, are covered by the settings into which they went; the others only say where a run was
# made or how it is reported.
_SETTINGS = TOP_LEVEL_KEYS - {
    'experiment_name',
    'launcher',
    'load_from',
    'log_level',
    'resume',
    'visualizer',
    'work_dir',
}


@dataclass
class Run:
    """One run of a report; everything except the name may be missing.

    Args:
        name (str): The name of the run in the report.
        work_dir (Path, optional): The folder of the run.
        cfg (Config, optional): Its config.
        curves (dict[str, tuple]): Logged scalars: maps each name to (iterations, values).
        step_time, data_time (float, optional): Median seconds per iteration, and the seconds of
            them spent waiting for data.
        evaluation (dict, optional): The result of ``tools/evaluate.py``.
        sdf (dict, optional): The result of ``tools/measure_sdf.py``.
        detection (list[dict]): The results of the engines in ``transfer/``.
        predictions (Path, optional): A picture of detections.
        pairs (list[np.ndarray]): Pictures of pairs, BGR.
        embedding (np.ndarray, optional): Picture of the features in two dimensions, BGR or
            BGRA.
        notes (list[str]): What is missing, and why.
    """

    name: str
    work_dir: Path | None = None
    cfg: Config | None = None
    curves: dict[str, Curve] = field(default_factory=dict)
    step_time: float | None = None
    data_time: float | None = None
    evaluation: dict | None = None
    sdf: dict | None = None
    detection: list[dict] = field(default_factory=list)
    predictions: Path | None = None
    pairs: list[np.ndarray] = field(default_factory=list)
    embedding: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)


def read_run(work_dir: str | Path, name: str | None = None) -> Run:
    """Read a work directory: logs, config, ``evaluation.json``, ``sdf.json`` and ``detection/``.

    Args:
        work_dir (str | Path): The folder.
        name (str, optional): The name of the run in the report. Defaults to the folder's name.

    Returns:
        Run: The run, without pictures.

    Raises:
        FileNotFoundError: There is no such folder, or it contains no log of a loss.
        ValueError: A JSON file is damaged.
    """
    work_dir = Path(work_dir)
    if not work_dir.is_dir():
        raise FileNotFoundError(f'{work_dir}: no such work directory')
    run = Run(name or work_dir.resolve().name, work_dir)
    run.curves['loss'] = read_scalars(work_dir)
    for key in CURVES:
        try:
            run.curves[key] = read_scalars(work_dir, key)
        except FileNotFoundError:
            continue  # not every run logs it
    for key, attribute in (('time', 'step_time'), ('data_time', 'data_time')):
        try:
            _, values = read_scalars(work_dir, key)
        except FileNotFoundError:
            continue
        setattr(run, attribute, statistics.median(values[1:] or values))
    configs = sorted(work_dir.glob('*/vis_data/config.py'))
    if configs:
        run.cfg, unread = read_dumped_config(configs[-1])
        if unread:
            run.notes.append(f'{configs[-1]}: not read, as no data: {"; ".join(unread[:3])}')
    else:
        run.notes.append('no vis_data/config.py: settings and pairs are not known')
    run.evaluation = _read_json(work_dir / 'evaluation.json')
    run.sdf = _read_json(work_dir / 'sdf.json')
    results = sorted(work_dir.glob('detection/**/results.json'))
    run.detection = [result for path in results if (result := _read_json(path))]
    pictures = sorted(work_dir.glob('detection/**/predictions.png'))
    run.predictions = pictures[0] if pictures else None
    return run


def _read_json(path: Path) -> dict | None:
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f'{path}: not valid JSON ({error})') from error
    if not isinstance(value, dict):
        raise ValueError(f'{path}: expected a JSON object, got a {type(value).__name__}')
    return value


def read_scalars(work_dir: str | Path, name: str = 'loss') -> Curve:
    """Read the curve of a scalar that mmengine's LocalVisBackend wrote.

    A resumed run has one file per start; where they overlap, the later start counts. The last line
    of a file may be cut off, as after a kill.

    Args:
        work_dir (str | Path): The run's work directory.
        name (str): ``'loss'``, ``'lr'``, ``'time'``, ... Defaults to ``'loss'``.

    Returns:
        tuple[list[int], list[float]]: Iterations, ascending, and the value logged at each.

    Raises:
        FileNotFoundError: No file contains that scalar.
        ValueError: A line that is not the last is damaged.
    """
    values: dict[int, float] = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        rows = [row for row in read_rows(path) if name in row]
        if rows:
            values = {step: value for step, value in values.items() if step < rows[0]['step']}
        values.update((row['step'], row[name]) for row in rows)
    if not values:
        raise FileNotFoundError(f'{work_dir}/*/vis_data/scalars.json: no {name} was logged there')
    return list(values), list(values.values())


def read_rows(path: Path) -> list[dict]:
    """Read the values that a run logged: one JSON object per line, of which the last may be cut.

    Args:
        path (Path): A ``scalars.json``.

    Raises:
        ValueError: A line that is not the last is damaged.
    """
    lines = path.read_text().splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                raise ValueError(f'{path}: line {number} is not valid JSON') from error
    return rows


def config_differences(cfgs: list[Config | None]) -> dict[str, list[str]]:
    """Find the settings in which configs differ.

    Args:
        cfgs (list[Config | None]): The configs; None for a config that is not known.

    Returns:
        dict[str, list[str]]: Maps the dotted name of a setting, such as
        ``train_dataloader.dataset.pipeline.1.transforms.0.0.beta``, to its value in each config, as
        text; empty if a config lacks it. The place where a run was made is not a setting, nor is a
        variable of the config file.
    """
    flat = [_flatten(cfg.to_dict()) if cfg is not None else None for cfg in cfgs]
    known = [settings for settings in flat if settings is not None]
    names = sorted({name for settings in known for name in settings})
    absent = object()
    return {
        name: ['' if s is None or name not in s else repr(s[name]) for s in flat]
        for name in names
        if any(s.get(name, absent) != known[0].get(name, absent) for s in known[1:])
    }


def _flatten(value: Any, prefix: str = '') -> dict[str, Any]:
    items: list[tuple[Any, Any]]
    if isinstance(value, dict):
        items = [(k, v) for k, v in value.items() if prefix or k in _SETTINGS]
    elif prefix == 'custom_hooks.' and isinstance(value, (list, tuple)):
        items = _by_type(value)
    elif isinstance(value, (list, tuple)) and any(isinstance(v, (dict, list)) for v in value):
        items = list(enumerate(value))
    else:
        return {prefix[:-1]: list(value) if isinstance(value, tuple) else value}
    return {
        name: leaf
        for key, inner in items
        for name, leaf in _flatten(inner, f'{prefix}{key}.').items()
    }


def _by_type(hooks: Sequence[Any]) -> list[tuple[str, Any]]:
    """Name hooks by their type, since a place in the list says nothing; the second is KNNHook#2."""
    named: list[tuple[str, Any]] = []
    seen: Counter[str] = Counter()
    for hook in hooks:
        kind = hook.get('type', '') if isinstance(hook, dict) else hook
        kind = kind if isinstance(kind, str) else getattr(kind, '__name__', str(kind))
        seen[kind] += 1
        named.append((kind if seen[kind] == 1 else f'{kind}#{seen[kind]}', hook))
    return named
