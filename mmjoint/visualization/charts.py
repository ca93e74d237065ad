"""Charts as small SVG elements in the colors of the page: densities, and curves over time."""

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

_MOST_POINTS = 200
# Approximate width in pixels of a character of a tick's label.
_CHARACTER = 8.3


class _Axes:
    """A drawing area of an SVG element, whose coordinates are the values that are drawn.

    Args:
        size (tuple[int, int]): Width and height of the element in pixels.
        margins (tuple[int, int, int, int]): Left, right, top and bottom of the drawing area.
        x_limits, y_limits (tuple[float, float]): The values at its edges; if both are equal, points
            are drawn at the left or lower edge.
    """

    def __init__(
        self,
        size: tuple[int, int],
        margins: tuple[int, int, int, int],
        x_limits: tuple[float, float],
        y_limits: tuple[float, float],
    ) -> None:
        self.size = size
        self.left, right, self.top, bottom = margins
        self.right, self.floor = size[0] - right, size[1] - bottom
        self.x_limits, self.y_limits = x_limits, y_limits
        self.parts: list[str] = []

    def x(self, value: float) -> float:
        low, high = self.x_limits
        return self.left + (self.right - self.left) * (value - low) / ((high - low) or 1)

    def y(self, value: float) -> float:
        low, high = self.y_limits
        return self.floor - (self.floor - self.top) * (value - low) / ((high - low) or 1)

    def line(
        self, kind: str, xs: Sequence[float] | np.ndarray, ys: Sequence[float] | np.ndarray
    ) -> None:
        """Add a line through points; the page gives its class a color."""
        points = ' '.join(f'{self.x(a):.1f},{self.y(b):.1f}' for a, b in zip(xs, ys, strict=True))
        self.parts.append(f'<polyline class="{escape(kind)}" points="{points}"/>')

    def floor_line(self, ticks: Sequence[tuple[float, str]]) -> None:
        """Add the horizontal axis with its ticks, given as positions and texts."""
        self.parts.append(
            f'<line class="axis" x1="{self.left}" x2="{self.right}" y1="{self.floor}" '
            f'y2="{self.floor}"/>'
        )
        for place, text in ticks:
            self.parts.append(
                f'<line class="axis" x1="{self.x(place):.1f}" x2="{self.x(place):.1f}" '
                f'y1="{self.floor}" y2="{self.floor + 4}"/>'
                f'<text x="{self.x(place):.1f}" y="{self.floor + 19}">{escape(text)}</text>'
            )

    def grid(self, ticks: Sequence[float]) -> None:
        """Add horizontal lines with their values at the left."""
        for tick in ticks:
            self.parts.append(
                f'<line class="grid" x1="{self.left}" x2="{self.right}" y1="{self.y(tick):.1f}" '
                f'y2="{self.y(tick):.1f}"/><text class="left" x="{self.left - 7}" '
                f'y="{self.y(tick) + 4:.1f}">{tick:g}</text>'
            )

    def svg(self, kind: str, label: str, title: str = '') -> Markup:
        """Return the element.

        Args:
            kind (str): The class of the element.
            label (str): The text for screen readers.
            title (str): The text shown when a pointer rests on the element. Defaults to ''.
        """
        told = f'<title>{escape(title)}</title>' if title else ''
        return Markup(
            f'<svg class="{kind}" viewBox="0 0 {self.size[0]} {self.size[1]}" role="img" '
            f'aria-label="{escape(label)}">{told}{"".join(self.parts)}</svg>'
        )


def histogram(values: np.ndarray, limits: tuple[float, float], bins: int) -> np.ndarray:
    """Estimate a density by a histogram.

    Args:
        values (np.ndarray): One-dimensional array of values.
        limits (tuple[float, float]): Limits of the histogram; values outside count in its end bins.
        bins (int): Number of bins.

    Returns:
        np.ndarray: Density in each bin, float64; all 0 if there are no values.
    """
    counts, _ = np.histogram(np.clip(values, *limits), bins, limits)
    return counts * bins / ((limits[1] - limits[0]) * max(1, len(values)))


def density_chart(
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
        label (str): The text for screen readers.
        limits (tuple[float, float]): The smallest and the largest value of the quantity.
        top (float): The density at the upper edge.
        bars (np.ndarray): Densities in equal bins, filled (class ``bars``).
        outline (np.ndarray, optional): Densities in equal bins, as a line (class ``outline``).
        curves (Sequence[tuple]): Class, positions and densities of lines.
        ticks (Sequence[tuple]): Positions and texts below the axis.

    Returns:
        Markup: An SVG element.
    """
    axes = _Axes((340, 190), (12, 12, 10, 34), limits, (0, top))

    def steps(densities: np.ndarray) -> str:
        edges = np.linspace(*limits, len(densities) + 1)
        path = f'M{axes.x(edges[0]):.1f} {axes.floor}'
        for start, end, density in zip(edges[:-1], edges[1:], densities, strict=True):
            height = axes.y(min(density, top))
            path += f'L{axes.x(start):.1f} {height:.1f}L{axes.x(end):.1f} {height:.1f}'
        return f'{path}L{axes.x(edges[-1]):.1f} {axes.floor}'

    axes.parts.append(f'<path class="bars" d="{steps(bars)}Z"/>')
    if outline is not None:
        axes.parts.append(f'<path class="outline" d="{steps(outline)}"/>')
    for kind, places, densities in curves:
        axes.line(kind, places, np.minimum(densities, top))
    axes.floor_line(ticks)
    return axes.svg('chart', label)


def line_chart(label: str, unit: str, curves: list[tuple[int, list[int], list[float]]]) -> Markup:
    """Draw curves over iterations on one pair of axes.

    Args:
        label (str): The text for screen readers.
        unit (str): The unit or name of the values.
        curves (list[tuple]): Number of the run (which gives the color: class ``run0``, ``run1``,
            ...), iterations and values. More than 200 points are averaged in groups.

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
    if low == high:  # one point: room above and below, with round numbers at the axis
        room = abs(low) / 2 or 1.0
        low, high = low - room, high + room
    heights = round_numbers(low, high)
    limits = min(low, heights[0]), max(high, heights[-1])
    places = [tick for tick in round_numbers(first, last) if first <= tick <= last]
    # The margins hold the longest label at the left, and half of the last one below.
    left = 14 + _CHARACTER * max(4, *(len(f'{tick:g}') for tick in heights))
    right = max(14, _CHARACTER * len(f'{places[-1]:g}') / 2)
    axes = _Axes((440, 250), (math.ceil(left), math.ceil(right), 12, 44), (first, last), limits)
    axes.grid(heights)
    axes.floor_line([(tick, f'{tick:g}') for tick in places])
    middle, bottom = (axes.left + axes.right) / 2, axes.size[1] - 6
    axes.parts.append(f'<text x="{middle:.0f}" y="{bottom}">iteration</text>')
    for run, steps, values in drawn:
        axes.line(f'run{run}', steps, values)
        if len(steps) < 30:
            axes.parts += [
                f'<circle class="run{run}" cx="{axes.x(a):.1f}" cy="{axes.y(b):.1f}" r="2.6"/>'
                for a, b in zip(steps, values, strict=True)
            ]
    return axes.svg('lines', label, f'{label}, {unit}')


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
    """Return ticks at round numbers within [low, high], with a minus sign in their texts."""
    numbers = [n for n in round_numbers(low, high, 8) if low <= n + 1e-9 and n <= high + 1e-9]
    return [(number, f'{number:.6g}'.replace('-', '\u2212')) for number in numbers]


def round_numbers(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers that divide a range.

    Args:
        low, high (float): The range.
        most (int): Largest number of them, approximately. Defaults to 6.

    Returns:
        list[float]: Multiples of 1, 2 or 5 times a power of ten, from the first at or above ``low``
        to the last at or below ``high``; both ends if the range has no width.
    """
    if not high > low:
        return [low]
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    numbers = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return [float(f'{number * step:.10g}') for number in numbers]


def _thin(steps: list[int], values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Drop values that are not finite and average groups so that few points remain."""
    places, heights = np.asarray(steps, float), np.asarray(values, float)
    finite = np.isfinite(heights)
    places, heights = places[finite], heights[finite]
    groups = min(_MOST_POINTS, len(places))
    if groups == len(places):
        return places, heights
    places, heights = (
        np.array([group.mean() for group in np.array_split(part, groups)])
        for part in (places, heights)
    )
    return places, heights
