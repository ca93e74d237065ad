"""The plot of a benchmark's results."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

_OWN, _OTHER = '#2f6fb5', '#a9b4c0'


def plot_benchmark(recipes: Mapping[str, dict], loader: dict | None = None) -> Figure:
    """Draw pairs per second, one panel per recipe and one for the loader.

    Args:
        recipes (Mapping[str, dict]): Results of ``benchmark_views``, by recipe.
        loader (dict, optional): Result of ``benchmark_loader``.

    Returns:
        Figure: Bars are medians, whiskers quartiles; the dashed line, where it is near enough,
            shows decoding alone.
    """
    panels = len(recipes) + (loader is not None)
    columns = min(2, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(5.2 * columns, 3.3 * rows), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, (recipe, result) in zip(axes, recipes.items(), strict=False):
        speeds = dict(result['pairs_per_second'])
        limit = speeds.pop('decode only')['median']
        _bars(panel, speeds, {name: name.startswith('mmjoint') for name in speeds})
        fastest = max(speed['quartiles'][1] for speed in speeds.values())
        near = limit < 3 * fastest
        if near:
            panel.axvline(limit, ls='--', lw=1, color='0.35')
        panel.set_xlim(0, 1.16 * (limit if near else fastest))
        panel.set_title(recipe, loc='left')
        panel.set_title(f'decode only: {limit:.0f}', loc='right', fontsize=8, color='0.35')
        panel.set_xlabel('pairs per second, one core (CPU time)')
    if loader is not None:
        panel = axes[len(recipes)]
        names = {'0': 'main process', '1': '1 worker'}
        speeds = {
            names.get(num, f'{num} workers'): speed
            for num, speed in loader['pairs_per_second'].items()
        }
        _bars(panel, speeds, dict.fromkeys(speeds, True))
        panel.set_title(f'{loader["recipe"]}, mmjoint joint, DataLoader', loc='left')
        panel.set_xlabel('pairs per second (wall time)')
    for panel in axes[panels:]:
        panel.set_visible(False)
    return figure


def _bars(axes: Axes, speeds: Mapping[str, dict], own: Mapping[str, bool]) -> None:
    medians = [speed['median'] for speed in speeds.values()]
    whiskers = [
        [speed['median'] - speed['quartiles'][0] for speed in speeds.values()],
        [speed['quartiles'][1] - speed['median'] for speed in speeds.values()],
    ]
    axes.barh(
        list(speeds),
        medians,
        color=[_OWN if own[name] else _OTHER for name in speeds],
        xerr=whiskers,
        error_kw=dict(capsize=3, lw=1, ecolor='0.2'),
    )
    for row, speed in enumerate(speeds.values()):
        axes.annotate(
            f'{speed["median"]:.0f}',
            (speed['quartiles'][1], row),
            xytext=(4, 0),
            textcoords='offset points',
            va='center',
            fontsize=8,
        )
    axes.invert_yaxis()
    axes.grid(axis='x', alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
