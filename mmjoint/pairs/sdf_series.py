"""Series of SDF over beta, fixed ratios and arguments: whether they fall, and their plot."""

from collections.abc import Sequence

from matplotlib.figure import Figure

_LABELS = {
    'fixed_ratio': 'fixed ratio, 1 : x',
    'beta': 'beta',
    'argument': 'value of the argument',
}


def is_monotonic(rows: Sequence[dict], kind: str) -> bool | None:
    """Check whether pairs get harder with the ratio or with falling beta, in all series.

    A series consists of the rows with the same views and the same names.

    Args:
        rows (Sequence[dict]): Rows from ``measure_sdf``.
        kind (str): ``'fixed_ratio'`` or ``'beta'``; beta None, the independent draw, is ignored.

    Returns:
        bool | None: Whether SDF falls from each row to the next; None if there are fewer than two.
    """
    answers = []
    for series in {_series(row) for row in rows}:
        own = [row for row in rows if row['kind'] == kind and _series(row) == series]
        own = sorted((row for row in own if row[kind] is not None), key=lambda row: row[kind])
        sdf = [row['sdf'] for row in (own if kind == 'fixed_ratio' else own[::-1])]
        if len(sdf) > 1:
            answers.append(all(a > b for a, b in zip(sdf[:-1], sdf[1:], strict=True)))
    return all(answers) if answers else None


def _series(row: dict) -> tuple[tuple, tuple]:
    return tuple(row['views']), tuple(row['of'])


def plot_sdf(rows: Sequence[dict], title: str = '') -> Figure:
    """Plot SDF over the fixed ratio and over beta, as figures 2 and 4 of the paper.

    Each gets a plot of its own, as do arguments whose values are numbers.

    Args:
        rows (Sequence[dict]): Rows from ``measure_sdf``.
        title (str): Title above the plots.

    Returns:
        Figure: Error bars are two standard errors; a horizontal line shows the independent draw.
    """
    rows = [row for row in rows if not isinstance(row['argument'], (str, list, tuple, dict))]
    keys = [key for key in _LABELS if any(row[key] is not None for row in rows)] or ['beta']
    figure = Figure(figsize=(4.5 * len(keys), 3.6), layout='constrained')
    all_axes = figure.subplots(1, len(keys), sharey=True, squeeze=False)[0]
    figure.suptitle(title)
    for series in dict.fromkeys(_series(row) for row in rows):
        own = [row for row in rows if _series(row) == series]
        (first, second), of = series
        name = ', '.join([f'views {first} and {second}', *filter(None, of)])
        for axes, key in zip(all_axes, keys, strict=True):
            shown = sorted((row for row in own if row[key] is not None), key=lambda row: row[key])
            if not shown:
                continue
            axes.errorbar(
                [row[key] for row in shown],
                [row['sdf'] for row in shown],
                [2 * row['standard_error'] for row in shown],
                marker='o',
                capsize=3,
                label=name,
            )
            for row in own:
                if row['kind'] == 'beta' and row['beta'] is None:
                    label = f'{name}, independent'
                    axes.axhline(row['sdf'], ls='--', lw=1, color='0.5', label=label)
    all_axes[0].set_ylabel('SDF (mean cosine similarity)')
    for axes, key in zip(all_axes, keys, strict=True):
        axes.set_xlabel(_LABELS[key])
        if key != 'fixed_ratio':  # harder pairs to the right, as there
            axes.invert_xaxis()
        axes.grid(alpha=0.25)
        axes.spines[['top', 'right']].set_visible(False)
        if axes.has_data():
            axes.legend(frameon=False)
    return figure
