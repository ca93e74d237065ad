"""Antialiased resize, Pillow's filter in Pillow's two passes."""

import math

import numpy as np
from numba import int64, uint64

from . import vectors
from .common import LANES, LANES_3, LANES_4, ONE, THREE, ZERO, jit

TILE = uint64(vectors.TILE)


@jit
def _taps(size_in, size_out, cubic, flip):
    """Weights of Pillow's antialiased resize.

    Returns the first tap of each output pixel; the number of taps of all; their weights, as
    ``vectors.weigh_1`` takes them or, for bicubic and where many errors of rounding would add up,
    as ``weigh_real_1`` does (the other array is empty); and how many there are an output pixel.
    """
    scale = size_in / size_out
    stretch = max(scale, 1.0)
    shrink = 1.0 / stretch
    reach = 2.0 * stretch if cubic else stretch
    most = int(math.ceil(reach)) * 2 + 1
    first = np.empty(size_out, np.uint64)
    exact = cubic or scale > 6.0
    whole = np.zeros(0 if exact else size_out * most, np.uint16)
    real = np.zeros(size_out * most if exact else 0, np.float32)
    weights = np.empty(most)
    count = 1
    for i in range(size_out):
        centre = (i + 0.5) * scale
        begin = max(0, int(centre - reach + 0.5))
        taps = min(size_in, int(centre + reach + 0.5)) - begin
        total = 0.0
        for k in range(taps):
            t = abs(begin + k + 0.5 - centre) * shrink
            if not cubic:
                w = max(0.0, 1.0 - t)
            elif t < 1.0:
                w = (1.5 * t - 2.5) * t * t + 1.0
            else:
                w = max(0.0, 2.0 - t) * (1.0 - t) * (t - 2.0) * -0.5
            weights[k] = w
            total += w
        place = size_out - 1 - i if flip else i
        first[place] = begin
        place *= most
        if exact:
            for k in range(taps):
                real[place + k] = weights[k] / total
            count = max(count, taps)
            continue
        unit, running, so_far = 65536 / total, 0.5, 0
        for k in range(taps):  # rounded so that the sum is one
            running += weights[k] * unit
            whole[place + k] = min(int(running) - so_far, 65535)
            if int(running) != so_far:
                count = max(count, k + 1)
            so_far = int(running)
    return first, uint64(count), whole, real, uint64(most)


@jit
def _narrow(src, start, pitch, columns, width, taps, strip, turned, out, to):
    """Resize 32 rows of interleaved pixels to ``width``; ``out``: rows of blue, of green, of red.

    SIMD goes along rows, so they are transposed before, to ``strip``, and after, from ``turned``.
    """
    first, count, whole, real, most = taps
    values, row = columns * THREE, width * THREE
    for column in range(ZERO, values, TILE):
        column = min(column, values - TILE)
        for half in range(ZERO, LANES, TILE):
            vectors.transpose_tile(
                src, start + half * pitch + column, pitch, strip, column * LANES + half, LANES
            )
    for x in range(width):
        a, w = first[x] * LANES_3, x * most
        if real.size:
            vectors.weigh_real_3(strip, a, LANES_3, real, w, count, turned, x * LANES_3)
        else:
            vectors.weigh_3(strip, a, LANES_3, whole, w, count, turned, x * LANES_3)
    for channel in range(THREE):
        for x in range(ZERO, width, TILE):
            x = min(x, width - TILE)
            for half in range(ZERO, LANES, TILE):
                vectors.transpose_tile(
                    turned,
                    x * LANES_3 + channel * LANES + half,
                    LANES_3,
                    out,
                    to + half * row + channel * width + x,
                    row,
                )


@jit
def _weigh_rows(src, start, step, whole, real, w, count, out, to, width):
    """Sum rows of pixels up, weighted; the last vector of the row overlaps."""
    x = ZERO
    if real.size:
        while x + LANES_3 <= width:
            vectors.weigh_real_3(src, start + x, step, real, w, count, out, to + x)
            x += LANES_3
    else:
        while x + LANES_4 <= width:
            vectors.weigh_4(src, start + x, step, whole, w, count, out, to + x)
            x += LANES_4
    while x < width:
        x = min(x, width - LANES)
        if real.size:
            vectors.weigh_real_1(src, start + x, step, real, w, count, out, to + x)
        else:
            vectors.weigh_1(src, start + x, step, whole, w, count, out, to + x)
        x += LANES


@jit
def resize(img, x, y, columns, rows, out, cubic, flip):
    """Resize a box of an image to three planes, horizontally first as Pillow does.

    Strip by strip of 32 rows: output rows are summed up as soon as their taps are there.
    """
    src, pitch = img.reshape(-1), uint64(img.shape[1]) * THREE
    start = uint64(y) * pitch + uint64(x) * THREE
    height, width = out.shape[1], uint64(out.shape[2])
    across = _taps(columns, out.shape[2], cubic, flip)
    first, count, whole, real, most = _taps(rows, height, cubic, False)
    if rows < LANES:  # a strip reaches over the box, but not over the image
        lead = uint64(y) - min(uint64(y), uint64(img.shape[0]) - LANES)
        start -= lead * pitch
        first += lead
        rows = int64(LANES)
    columns, rows, height, row = uint64(columns), uint64(rows), uint64(height), width * THREE
    # Taps of weight 0 reach beyond the box.
    strip = np.empty(columns * LANES_3 + across[1] * LANES_3, np.uint8)
    turned = np.empty(row * LANES, np.uint8)
    # Narrow rows from row ``begin`` of the box on: those still needed, and a new strip.
    held = np.empty((LANES + count + count) * row, np.uint8)
    begin, end, done = ZERO, ZERO, ZERO
    flat = out.reshape(-1)
    while done < height:
        top = min(end, rows - LANES)  # the last strip overlaps
        kept = min(first[done], end)
        if top < kept:
            begin = top
        else:
            for i in range((end - kept) * row):
                held[i] = held[(kept - begin) * row + i]
            begin = kept
        at = start + top * pitch
        _narrow(src, at, pitch, columns, width, across, strip, turned, held, (top - begin) * row)
        end = top + LANES
        while done < height and (end == rows or first[done] + count <= end):
            for channel in range(THREE):
                a, w = (first[done] - begin) * row + channel * width, done * most
                to = (channel * height + done) * width
                _weigh_rows(held, a, row, whole, real, w, count, flat, to, width)
            done += ONE
