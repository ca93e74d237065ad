"""Antialiased resize with Pillow's filter, in Pillow's two passes."""

import math

import numpy as np
from numba import int64, uint64

from . import vectors
from .common import LANES, LANES_3, LANES_4, ONE, THREE, ZERO, jit

TILE = uint64(vectors.TILE)


@jit
def _taps(size_in, size_out, cubic, flip):
    """Compute the taps and weights of Pillow's antialiased resize along one axis.

    ``size_in`` and ``size_out`` are int64, in pixels; ``flip`` mirrors the output.

    Returns ``first``, uint64 (size_out,), the first tap of each output pixel; ``count``, uint64,
    the number of taps of every pixel; the weights as uint16 in units of 1 / 65536 (rounded so that
    those of a pixel sum to one), or as float32 for bicubic and for reductions by more than six,
    where many roundings would add up: one of the two arrays is empty, the other is
    (size_out * most,); and ``most``, uint64, the number of weights stored per output pixel.
    """
    scale = size_in / size_out
    stretch = max(scale, 1.0)
    shrink = 1.0 / stretch
    reach = 2.0 * stretch if cubic else stretch
    most = int(math.ceil(reach)) * 2 + 1
    first = np.empty(size_out, np.uint64)
    exact = cubic or scale > 6.0
    fixed = np.zeros(0 if exact else size_out * most, np.uint16)
    floats = np.zeros(size_out * most if exact else 0, np.float32)
    weights = np.empty(most)
    count = 1
    for i in range(size_out):
        center = (i + 0.5) * scale
        begin = max(0, int(center - reach + 0.5))
        taps = min(size_in, int(center + reach + 0.5)) - begin
        total = 0.0
        for k in range(taps):
            t = abs(begin + k + 0.5 - center) * shrink
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
                floats[place + k] = weights[k] / total
            count = max(count, taps)
            continue
        unit, running, so_far = 65536 / total, 0.5, 0
        for k in range(taps):  # rounded so that the sum is one
            running += weights[k] * unit
            fixed[place + k] = min(int(running) - so_far, 65535)
            if int(running) != so_far:
                count = max(count, k + 1)
            so_far = int(running)
    return first, uint64(count), fixed, floats, uint64(most)


@jit
def _narrow(src, start, pitch, columns, width, taps, strip, turned, out, to):
    """Resize 32 rows of interleaved pixels to ``width``; writes rows of blue, of green and of red.

    ``src`` is uint8; its rows of ``columns`` B, G, R pixels start at ``start`` and are ``pitch``
    apart. SIMD works along rows, so the rows are first transposed into ``strip`` (uint8), and the
    result is transposed back from ``turned`` (uint8) into ``out`` (uint8) at ``to``. The result is
    rounded to the nearest level.
    """
    first, count, fixed, floats, most = taps
    values, row = columns * THREE, width * THREE
    for column in range(ZERO, values, TILE):
        column = min(column, values - TILE)
        for half in range(ZERO, LANES, TILE):
            vectors.transpose_tile(
                src, start + half * pitch + column, pitch, strip, column * LANES + half, LANES
            )
    for x in range(width):
        a, w = first[x] * LANES_3, x * most
        if floats.size:
            vectors.weigh_float_3(strip, a, LANES_3, floats, w, count, turned, x * LANES_3)
        else:
            vectors.weigh_3(strip, a, LANES_3, fixed, w, count, turned, x * LANES_3)
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
def _weigh_rows(src, start, step, fixed, floats, w, count, out, to, width):
    """Compute the weighted sum of ``count`` rows of ``width`` uint8 values, ``step`` apart.

    The sum is rounded to the nearest level. The last vector of the row overlaps the one before it.
    """
    x = ZERO
    if floats.size:
        while x + LANES_3 <= width:
            vectors.weigh_float_3(src, start + x, step, floats, w, count, out, to + x)
            x += LANES_3
    else:
        while x + LANES_4 <= width:
            vectors.weigh_4(src, start + x, step, fixed, w, count, out, to + x)
            x += LANES_4
    while x < width:
        x = min(x, width - LANES)
        if floats.size:
            vectors.weigh_float_1(src, start + x, step, floats, w, count, out, to + x)
        else:
            vectors.weigh_1(src, start + x, step, fixed, w, count, out, to + x)
        x += LANES


@jit
def resize(img, x, y, columns, rows, out, cubic, flip):
    """Resize a box of an image to three planes, horizontally first, as Pillow does.

    ``img`` is uint8 (H, W, 3), C-contiguous, with H at least 32. The box ``x, y, columns, rows``
    (pixels) lies inside it and is at least 6 wide. ``out`` is uint8 (3, height, width), at least 32
    wide. Each of the two passes rounds to the nearest level, so that the result is within one level
    of Pillow's (bicubic: two). The work goes in strips of 32 rows: an output row is summed as soon
    as its taps are available.
    """
    src, pitch = img.reshape(-1), uint64(img.shape[1]) * THREE
    start = uint64(y) * pitch + uint64(x) * THREE
    height, width = out.shape[1], uint64(out.shape[2])
    across = _taps(columns, out.shape[2], cubic, flip)
    first, count, fixed, floats, most = _taps(rows, height, cubic, False)
    if rows < LANES:  # a strip may exceed the box, but not the image
        lead = uint64(y) - min(uint64(y), uint64(img.shape[0]) - LANES)
        start -= lead * pitch
        first += lead
        rows = int64(LANES)
    columns, rows, height, row = uint64(columns), uint64(rows), uint64(height), width * THREE
    # Taps of weight 0 may lie outside the box.
    strip = np.empty(columns * LANES_3 + across[1] * LANES_3, np.uint8)
    turned = np.empty(row * LANES, np.uint8)
    # The narrow rows from row ``begin`` of the box on: those still needed, and a new strip.
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
                _weigh_rows(held, a, row, fixed, floats, w, count, flat, to, width)
            done += ONE
