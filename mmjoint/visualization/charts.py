"""Histograms as small SVG elements whose colours are the page's."""

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT = 340, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 12, 12, 10, 34


def histogram(values: np.ndarray, limits: tuple[float, float], bins: int) -> np.ndarray:
    """Estimate a density by a histogram.

    Args:
        values (np.ndarray): One-dimensional.
        limits (tuple[float, float]): Of the histogram; values beyond count in its end bins.
        bins (int): How many.

    Returns:
        np.ndarray: Density in each bin, float64; all 0 without values.
    """
    counts, _ = np.histogram(np.clip(values, *limits), bins, limits)
    return counts * bins / ((limits[1] - limits[0]) * max(1, len(values)))


def chart(
    label: str,
    limits: tuple[float, float],
    top: float,
    bars: np.ndarray,
    outline: np.ndarray | None = None,
    curves: Sequence[tuple[str, np.ndarray, np.ndarray]] = (),
    ticks: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Draw densities over one quantity.

    Args:
        label (str): What a screen reader says.
        limits (tuple[float, float]): Of the quantity.
        top (float): Density at the upper edge.
        bars (np.ndarray): Densities in equal bins, filled (class ``bars``).
        outline (np.ndarray, optional): Densities in equal bins, as a line (class ``outline``).
        curves (Sequence[tuple]): Class, places and densities of lines.
        ticks (Sequence[tuple]): Places and texts below the axis.

    Returns:
        Markup: An SVG element.
    """
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    floor = HEIGHT - _BOTTOM

    def x(value: float) -> float:
        return _LEFT + width * (value - limits[0]) / (limits[1] - limits[0])

    def y(density: float) -> float:
        return floor - height * min(density / top, 1) if top else floor

    def steps(densities: np.ndarray) -> str:
        edges = np.linspace(*limits, len(densities) + 1)
        path = f'M{x(edges[0]):.1f} {floor}'
        for start, end, density in zip(edges[:-1], edges[1:], densities, strict=True):
            path += f'L{x(start):.1f} {y(density):.1f}L{x(end):.1f} {y(density):.1f}'
        return f'{path}L{x(edges[-1]):.1f} {floor}'

    parts = [f'<path class="bars" d="{steps(bars)}Z"/>']
    if outline is not None:
        parts.append(f'<path class="outline" d="{steps(outline)}"/>')
    for kind, places, densities in curves:
        points = ' '.join(f'{x(a):.1f},{y(b):.1f}' for a, b in zip(places, densities, strict=True))
        parts.append(f'<polyline class="{escape(kind)}" points="{points}"/>')
    parts.append(
        f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{floor}" y2="{floor}"/>'
    )
    for place, text in ticks:
        parts.append(
            f'<line class="axis" x1="{x(place):.1f}" x2="{x(place):.1f}" y1="{floor}" '
            f'y2="{floor + 4}"/><text x="{x(place):.1f}" y="{floor + 20}">{escape(text)}</text>'
        )
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def ratio_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return ticks for a log ratio in [low, high], written as ratios such as 1:2."""
    steps = [step for step in (2, 5, 10, 20, 50) if math.log(step) <= high * 1.001]
    if len(steps) > 3:
        steps = steps[::2]
    ticks = [(0.0, '1:1')]
    for step in steps:
        ticks += [(-math.log(step), f'{step}:1'), (math.log(step), f'1:{step}')]
    return [(place, text) for place, text in ticks if place >= low * 1.001]


def number_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return about six ticks at round numbers for a quantity in [low, high]."""
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(power * n for n in (1, 2, 5, 10) if (high - low) / (power * n) <= 7)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(k * step, f'{k * step:.6g}'.replace('-', '−')) for k in range(first, last + 1)]
