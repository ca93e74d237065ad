"""Gaussian blur of flat planes, with 16-bit fixed-point weights (docs/kernels.md)."""

import math

import numpy as np
from numba import int64, uint16, uint64

from . import vectors
from .common import LANES, LANES_4, ONE, THREE, TWO, ZERO, jit
from .vectors import shl


@jit
def _mirrored(i, size):
    """Return the index (int64 in [0, size)) to which index ``i`` >= 0 of a mirrored row maps.

    The row of ``size`` values is continued beyond its end as in a mirror, without repeating its
    last value.
    """
    if i < size:
        return i
    period = max(2 * size - 2, 1)
    i %= period
    return min(i, period - i)


@jit
def _mirror_ends(row, reach, columns):
    """Fill ``reach`` values on both sides of ``row[reach : reach + columns]`` by mirroring.

    ``row`` is uint16, (columns + 2 * reach or more,).
    """
    last = reach + columns - ONE
    for k in range(ONE, reach + ONE):
        inside = uint64(_mirrored(int64(k), int64(columns)))
        row[reach - k] = row[reach + inside]
        row[last + k] = row[last - inside]


@jit
def blur(pixels, width, height, sigma):
    """Blur each plane with a Gaussian that is cut off at four sigma, in place.

    ``pixels`` is uint8 (3 * height * width,). ``sigma`` is float64, in pixels, above 0 and at most
    ``compiled.MAX_SIGMA``. Weights are uint16 in units of 1 / 65536 and sum to exactly one. Between
    the vertical and the horizontal pass a value has 7 fraction bits. The result is rounded to the
    nearest level and is off by at most 0.6 of a level.
    """
    radius = int(math.ceil(4 * sigma))
    exact = np.exp(np.arange(radius + 1) ** 2 / (-2 * sigma * sigma))
    exact /= 2 * exact.sum() - 1
    weights = np.zeros(radius + 1, np.uint16)
    # Weights are rounded from the outside in, so that both sides and the middle sum to one.
    running, so_far, count = 0.0, 0, 1
    for k in range(radius, 0, -1):
        running += exact[k] * 65536
        fixed = int(running + 0.5)
        weights[k] = fixed - so_far
        if fixed != so_far:
            count = max(count, k + 1)
        so_far = fixed
    if count == 1:
        return
    weights[0] = 65536 - 2 * so_far
    count, reach = uint64(count), uint64(radius)
    columns, rows = uint64(width), uint64(height)
    size = columns * rows
    tall = np.empty(size + TWO * reach * columns + LANES_4, np.uint16)
    row = np.empty(columns + TWO * reach + LANES_4, np.uint16)
    short = np.empty(LANES_4, np.uint8)
    for channel in range(THREE):
        plane, first = channel * size, reach * columns
        for i in range(size):
            tall[first + i] = shl(uint16(pixels[plane + i]), uint16(7))
        for k in range(ONE, reach + ONE):
            inside = uint64(_mirrored(int64(k), height)) * columns
            for x in range(columns):
                tall[first - k * columns + x] = tall[first + inside + x]
                tall[first + size - columns + k * columns + x] = tall[
                    first + size - columns - inside + x
                ]
        for y in range(rows):
            at, to = first + y * columns, plane + y * columns
            if columns >= LANES_4:  # the last vectors of a row overlap
                for x in range(ZERO, columns, LANES_4):
                    x = min(x, columns - LANES_4)
                    vectors.weigh_pairs_4(tall, at + x, columns, weights, count, row, reach + x)
                _mirror_ends(row, reach, columns)
                for x in range(ZERO, columns, LANES_4):
                    x = min(x, columns - LANES_4)
                    vectors.weigh_pairs_last_4(row, reach + x, ONE, weights, count, pixels, to + x)
            else:
                for x in range(ZERO, columns, LANES):
                    vectors.weigh_pairs_1(tall, at + x, columns, weights, count, row, reach + x)
                _mirror_ends(row, reach, columns)
                for x in range(ZERO, columns, LANES):
                    vectors.weigh_pairs_last_1(row, reach + x, ONE, weights, count, short, x)
                for x in range(columns):
                    pixels[to + x] = short[x]
