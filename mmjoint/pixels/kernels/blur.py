"""Gaussian blur."""

import math

import numpy as np
from numba import int64, uint16, uint64

from . import vectors
from .common import LANES, LANES_4, ONE, THREE, TWO, ZERO, jit
from .vectors import raised


@jit
def _mirrored(i, size):
    """Index in a row that is continued beyond its end as in a mirror, the edge not repeated."""
    if i < size:
        return i
    period = max(2 * size - 2, 1)
    i %= period
    return min(i, period - i)


@jit
def _mirror_ends(row, reach, columns):
    """Continue the row from ``reach`` to ``reach + columns`` by ``reach`` to both sides."""
    last = reach + columns - ONE
    for k in range(ONE, reach + ONE):
        inside = uint64(_mirrored(int64(k), int64(columns)))
        row[reach - k] = row[reach + inside]
        row[last + k] = row[last - inside]


@jit
def blur(pixels, width, height, sigma):
    """Blur by a Gaussian cut off at four sigma, in place, each plane for itself."""
    radius = int(math.ceil(4 * sigma))
    exact = np.exp(np.arange(radius + 1) ** 2 / (-2 * sigma * sigma))
    exact /= 2 * exact.sum() - 1
    weights = np.zeros(radius + 1, np.uint16)
    # Rounded from the outside so that the sum, both sides and the middle, is one.
    running, so_far, count = 0.0, 0, 1
    for k in range(radius, 0, -1):
        running += exact[k] * 65536
        whole = int(running + 0.5)
        weights[k] = whole - so_far
        if whole != so_far:
            count = max(count, k + 1)
        so_far = whole
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
            tall[first + i] = raised(uint16(pixels[plane + i]), uint16(7))
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
