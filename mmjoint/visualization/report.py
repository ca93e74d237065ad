"""The report page of some runs side by side: one file, no network."""

import base64
import io
import json
import os
from pathlib import Path

import cv2
import jinja2
import matplotlib
import numpy as np
from matplotlib.figure import Figure

_TEMPLATE = Path(__file__).with_name('report.html')
# Okabe and Ito's palette.
_COLOURS = ('#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00')


def read_scalars(work_dir: str | Path, name: str = 'loss') -> tuple[list[int], list[float]]:
    """Read the curve of a scalar that mmengine's LocalVisBackend wrote.

    A resumed run has one file a start; where they overlap, the later start counts.

    Args:
        work_dir (str | Path): The run's work directory.
        name (str): ``'loss'``, ``'lr'``, ``'time'``, ... Defaults to ``'loss'``.

    Returns:
        tuple[list[int], list[float]]: Iterations, ascending, and the value logged at each.

    Raises:
        FileNotFoundError: There is no such file with that scalar in it.
    """
    values = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows = [row for row in rows if name in row]
        if rows:
            values = {step: value for step, value in values.items() if step < rows[0]['step']}
        values.update((row['step'], row[name]) for row in rows)
    if not values:
        raise FileNotFoundError(f'{work_dir}/*/vis_data/scalars.json: no {name} was logged there')
    return list(values), list(values.values())


def write_report(
    path: str | Path,
    title: str,
    note: str,
    facts: dict[str, str],
    losses: dict[str, tuple[list[int], list[float]]],
    table: list[dict[str, str]],
    pairs: dict[str, list[np.ndarray]],
) -> None:
    """Write the page, aside first and then into place.

    Args:
        path (str | Path): Of the HTML file.
        title (str): Its heading.
        note (str): What the reader must know before reading a number.
        facts (dict[str, str]): What was run, name to value.
        losses (dict[str, tuple]): Loss curves, run to (iterations, losses).
        table (list[dict[str, str]]): Rows of results, all with the same columns.
        pairs (dict[str, list[np.ndarray]]): Pictures of pairs, run to BGR arrays.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(_TEMPLATE.read_text()).render(
        title=title,
        note=note,
        facts=facts,
        curves=_plot_losses(losses) if losses else '',
        table=table,
        pairs={run: [_data_uri(picture) for picture in shown] for run, shown in pairs.items()},
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + '.partial')
    partial.write_text(page)
    os.replace(partial, path)


def _plot_losses(losses: dict[str, tuple[list[int], list[float]]]) -> str:
    """Plot the curves as an SVG element whose text takes the page's colour."""
    with matplotlib.rc_context({'svg.fonttype': 'none', 'font.family': 'sans-serif'}):
        figure = Figure(figsize=(7.5, 3.2), layout='constrained')
        axes = figure.add_subplot()
        for (run, (steps, values)), colour in zip(losses.items(), _COLOURS, strict=False):
            axes.plot(steps, values, label=run, color=colour)
        axes.set(xlabel='iteration', ylabel='loss')
        axes.grid(alpha=0.25)
        axes.spines[['top', 'right']].set_visible(False)
        axes.legend(frameon=False)
        buffer = io.StringIO()
        figure.savefig(buffer, format='svg', transparent=True)
    svg = buffer.getvalue()
    return svg[svg.index('<svg') :]


def _data_uri(picture: np.ndarray) -> str:
    _, data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return 'data:image/jpeg;base64,' + base64.b64encode(data.tobytes()).decode()
