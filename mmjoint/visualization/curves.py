"""Line charts as small SVG elements whose colours are the page's."""

import math

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT = 440, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 44
_MOST_POINTS = 200


def line_chart(label: str, unit: str, curves: list[tuple[int, list[int], list[float]]]) -> Markup:
    """Draw curves over iterations on one pair of axes.

    Args:
        label (str): What a screen reader says.
        unit (str): What is drawn, beside the vertical axis' top.
        curves (list[tuple]): Number of the run (its colour: class ``run0``, ``run1``, ...),
            iterations and values. More than 200 points are averaged in groups.

    Returns:
        Markup: An SVG element; values that are not finite are left out.
    """
    drawn = [(run, *_thin(steps, values)) for run, steps, values in curves]
    drawn = [curve for curve in drawn if len(curve[1])]
    if not drawn:
        return Markup('')
    last = max(float(steps[-1]) for _, steps, _ in drawn)
    first = min(0.0, *(float(steps[0]) for _, steps, _ in drawn))
    low = min(float(values.min()) for _, _, values in drawn)
    high = max(float(values.max()) for _, _, values in drawn)
    y_ticks = ticks(low, high)
    low, high = min(low, y_ticks[0]), max(high, y_ticks[-1])
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def x(step: float) -> float:
        return _LEFT + width * (step - first) / ((last - first) or 1)

    def y(value: float) -> float:
        return _TOP + height * (high - value) / ((high - low) or 1)

    parts = []
    for tick in y_ticks:
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(tick):.1f}" '
            f'y2="{y(tick):.1f}"/><text class="left" x="{_LEFT - 7}" y="{y(tick) + 4:.1f}">'
            f'{tick:g}</text>'
        )
    floor = HEIGHT - _BOTTOM
    for tick in ticks(first, last):
        if first <= tick <= last:
            parts.append(
                f'<line class="axis" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{floor}" '
                f'y2="{floor + 4}"/><text x="{x(tick):.1f}" y="{floor + 18}">{tick:g}</text>'
            )
    parts.append(
        f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{floor}" y2="{floor}"/>'
    )
    parts.append(f'<text x="{_LEFT + width / 2:.0f}" y="{HEIGHT - 6}">iteration</text>')
    for run, steps, values in drawn:
        points = ' '.join(f'{x(a):.1f},{y(b):.1f}' for a, b in zip(steps, values, strict=True))
        parts.append(f'<polyline class="run{run}" points="{points}"/>')
        if len(steps) < 30:
            parts += [
                f'<circle class="run{run}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="2.6"/>'
                for a, b in zip(steps, values, strict=True)
            ]
    return Markup(
        f'<svg class="lines" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(label)}"><title>{escape(label)}, {escape(unit)}</title>'
        f'{"".join(parts)}</svg>'
    )


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers that divide a range.

    Args:
        low, high (float): The range.
        most (int): How many at most, about. Defaults to 6.

    Returns:
        list[float]: Multiples of 1, 2 or 5 times a power of ten, from the first at or above low to
        the last at or below high; the two ends of a range without width.
    """
    if not high > low:
        return [low]
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    numbers = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return [float(f'{number * step:.10g}') for number in numbers]


def _thin(steps: list[int], values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Leave out what is not finite and average groups so that few points are left."""
    places, heights = np.asarray(steps, float), np.asarray(values, float)
    finite = np.isfinite(heights)
    places, heights = places[finite], heights[finite]
    groups = min(_MOST_POINTS, len(places))
    if groups == len(places):
        return places, heights
    return tuple(
        np.array([group.mean() for group in np.array_split(part, groups)])
        for part in (places, heights)
    )
