"""The report page that shows runs side by side: one file that needs no network."""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import jinja2
import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS

from ..engine.dumped import refuse_code
from ..utils.files import write_output
from .charts import line_chart
from .pairs import draw_pair, sample_pairs
from .runs import Run, config_differences

_TEMPLATE = Path(__file__).with_name('report.html')
_MOST_DIFFERENCES = 40
# Title, name of the scalar, and the text beside the title.
_CHARTS = (
    ('Training loss', 'loss', ''),
    ('kNN top-1', 'knn/top1', 'percent, of the backbone while it trains (KNNHook)'),
    (
        'Spread of the features',
        'collapse/std',
        'collapse/std: standard deviation over a batch; 1 if the features are spread evenly, 0 if '
        'they are equal',
    ),
    (
        'Directions of the features',
        'collapse/directions',
        'collapse/directions: how many directions the features of different images use; 1 if all '
        'lie on one line (a collapse), at most their dimension',
    ),
    (
        'Cosine of the views of an image',
        'collapse/positive',
        'collapse/positive: mean cosine similarity of positive pairs',
    ),
    (
        'Cosine of different images',
        'collapse/negative',
        'collapse/negative: mean cosine similarity of negative pairs',
    ),
    (
        'Pairs with crop areas beyond 1:2',
        'pairs/area_beyond_2',
        'pairs/area_beyond_2: share of the pairs one of whose crops is more than twice as large as '
        'the other; for areas of 0.2 to 1, 0.281 with independent crops, 0.569 with beta 0',
    ),
    ('Beta', 'beta/beta', 'beta/beta: what BetaHook sets; the smaller, the harder the pairs'),
    (
        'Cosine that beta follows',
        'beta/cosine',
        'beta/cosine: mean cosine similarity of positive pairs in the epoch before (BetaHook)',
    ),
    (
        'Accuracy that beta follows',
        'beta/accuracy',
        'beta/accuracy: share of the samples whose positive scored highest in the epoch before',
    ),
    ('Learning rate', 'lr', ''),
)
NO_NUMBER = '–'


def add_pairs(run: Run, num: int = 4, seed: int = 0) -> None:
    """Add pictures of pairs of a run's training images, evenly spaced, drawn as in training.

    Args:
        run (Run): The run, whose ``pairs`` are set. If its config or its images are missing, its
            ``notes`` say so instead.
        num (int): Number of images. Defaults to 4.
        seed (int): Seed of the draws. Defaults to 0.
    """
    if run.cfg is None:
        return
    try:
        refuse_code(run.cfg)
        if 'dataset' not in (run.cfg.get('train_dataloader') or {}):
            raise ValueError('the config has no train_dataloader.dataset')
        total = _num_images(run.cfg)
        indices = [i * total // num for i in range(min(num, total))]
        run.pairs = [draw_pair(*pair) for pair in sample_pairs(run.cfg, indices, seed)]
    except (OSError, ValueError) as error:
        run.notes.append(f'no pairs: {" ".join(str(error).split())}')


def _num_images(cfg: Config) -> int:
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    return len(DATASETS.build({**cfg.train_dataloader.dataset, 'pipeline': []}))


def write_report(
    path: str | Path,
    title: str = 'Runs side by side',
    note: str = '',
    facts: dict[str, str] | None = None,
    runs: Sequence[Run] = (),
) -> None:
    """Write the page to a temporary file that is then moved into place.

    Args:
        path (str | Path): The HTML file.
        title (str): The heading of the page. Defaults to 'Runs side by side'.
        note (str): What the reader must know before reading a number. Defaults to ''.
        facts (dict[str, str], optional): Names and values that describe what was run.
        runs (Sequence[Run]): The runs, as documented in ``read_run``.

    Raises:
        ValueError: Two runs have the same name.
        OSError: The file cannot be written.
    """
    if len({run.name for run in runs}) < len(runs):
        raise ValueError(f'runs of one name: {", ".join(run.name for run in runs)}')
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters['data_uri'] = _data_uri
    trained = [run for run in runs if run.curves]
    settings = config_differences([run.cfg for run in trained])
    page = environment.from_string(_TEMPLATE.read_text()).render(
        title=title,
        note=note,
        facts=facts or {},
        runs=runs,
        numbers={run.name: i % 6 for i, run in enumerate(runs)},
        trained=trained,
        configs=sum(run.cfg is not None for run in trained),
        table=results_table(runs),
        settings=dict(list(settings.items())[:_MOST_DIFFERENCES]),
        more_settings=max(0, len(settings) - _MOST_DIFFERENCES),
        charts=list(_charts(runs)),
        sdf=sdf_table(runs),
        sdf_layers={run.sdf.get('layer', 'backbone') for run in runs if run.sdf},
        detection=detection_table(runs),
        same_images=_same_images([run for run in runs if run.pairs]),
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_output(path, page)


def _same_images(runs: Sequence[Run]) -> bool:
    """Whether the pairs of several runs are known to be of the same images."""
    if len(runs) < 2 or any(run.cfg is None for run in runs):
        return False
    first, *others = (
        {key: value for key, value in cfg.train_dataloader.dataset.items() if key != 'pipeline'}
        for cfg in (run.cfg for run in runs)
        if cfg is not None
    )
    return all(other == first for other in others)


def _charts(runs: Sequence[Run]) -> Iterator[dict]:
    for title, name, text in _CHARTS:
        curves = [(i % 6, *run.curves[name]) for i, run in enumerate(runs) if name in run.curves]
        shown = [run for run in runs if name in run.curves]
        if curves:
            yield dict(title=title, text=text, svg=line_chart(title, name, curves), runs=shown)


def results_table(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Put the numbers of runs into rows.

    Args:
        runs (Sequence[Run]): The runs.

    Returns:
        list[dict[str, str]]: One row per run, which maps column names to texts; a column exists
        only if a run has a number for it.
    """
    rows = [_numbers(run) for run in runs]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    order = {name: i for i, name in enumerate(_COLUMNS)}
    columns.sort(key=lambda name: order.get(name, len(order)))
    return [
        {'run': run.name} | {name: row.get(name, NO_NUMBER) for name in columns}
        for run, row in zip(runs, rows, strict=True)
    ]


_COLUMNS = (
    'kNN',
    'linear',
    '1% labels',
    '10% labels',
    'kNN while training',
    'last loss',
    'iterations',
    'ms per step',
    'ms for data',
)


def _numbers(run: Run) -> dict[str, str]:
    numbers = {}
    results = (run.evaluation or {}).get('results', {})
    for protocol in ('knn', 'linear'):
        if protocol in results:
            name = 'kNN' if protocol == 'knn' else protocol
            numbers[name] = f'{results[protocol]["top1"]:.2f} %'
    for fraction, few in results.get('few-shot', {}).items():
        spread = '' if few.get('std') is None else f' ± {few["std"]:.2f}'
        numbers[f'{fraction} labels'] = f'{few["top1"]:.2f}{spread} %'
    if 'knn/top1' in run.curves:
        numbers['kNN while training'] = f'{run.curves["knn/top1"][1][-1]:.2f} %'
    if 'loss' in run.curves:
        steps, values = run.curves['loss']
        numbers['last loss'] = f'{values[-1]:.4f}'
        numbers['iterations'] = f'{steps[-1]}'
    if run.step_time is not None:
        numbers['ms per step'] = f'{1000 * run.step_time:.0f}'
    if run.data_time is not None:
        numbers['ms for data'] = f'{1000 * run.data_time:.0f}'
    return numbers


def sdf_table(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Put the pair difficulties of runs into rows.

    Args:
        runs (Sequence[Run]): The runs; those without an ``sdf`` are ignored.

    Returns:
        list[dict[str, str]]: One row per kind of pairs, with ``pairs`` and the SDF of each run with
        its error.
    """
    measured = [(run, rows) for run in runs if run.sdf and (rows := run.sdf.get('rows'))]
    cells: dict[str, dict[str, str]] = {}
    for run, rows in measured:
        for row in rows:
            views = row.get('views') or ()
            name = row['setting'] + (f' (views {"-".join(map(str, views))})' if views else '')
            value = f'{row["sdf"]:.4f} ± {row["standard_error"]:.4f}'
            cells.setdefault(name, {})[run.name] = value
    return [
        {'pairs': name} | {run.name: values.get(run.name, NO_NUMBER) for run, _ in measured}
        for name, values in cells.items()
    ]


def detection_table(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Put the detection results of runs into rows.

    Args:
        runs (Sequence[Run]): The runs; those without ``detection`` are ignored.

    Returns:
        list[dict[str, str]]: One row per result, in percent, with the standard deviation if there
        are several trials.
    """
    rows = []
    for run in runs:
        for result in run.detection:
            row = {'run': run.name, 'engine': result['engine'], 'task': result['task']}
            row['trials'] = str(len(result['trials']))
            for kind, label in (('bbox', 'box '), ('segm', 'mask ')):
                for metric in ('AP', 'AP50', 'AP75'):
                    mean = (result['mean'].get(kind) or {}).get(metric)
                    std = ((result.get('std') or {}).get(kind) or {}).get(metric)
                    if mean is not None:
                        spread = '' if std is None else f' ± {std:.1f}'
                        row[label + metric] = f'{mean:.1f}{spread}'
            rows.append(row)
    columns = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name, NO_NUMBER) for name in columns} for row in rows]


def _data_uri(picture: np.ndarray | Path) -> str:
    if isinstance(picture, Path):
        return 'data:image/png;base64,' + base64.b64encode(picture.read_bytes()).decode()
    if picture.ndim == 3 and picture.shape[2] == 4:
        _, data = cv2.imencode('.png', picture)
        return 'data:image/png;base64,' + base64.b64encode(data.tobytes()).decode()
    _, data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return 'data:image/jpeg;base64,' + base64.b64encode(data.tobytes()).decode()
