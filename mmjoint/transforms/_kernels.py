"""The loops behind ``compiled``: a view's pixels from the decoded image to three planes of memory.

Pixels are uint8; between load and store they are 16-bit numbers with 7 or 8 bits of fraction. All
arrays are flat, colours in the order B, G, R. Indices are unsigned, since with signed ones numba
looks after negative indices at every step; arrays are not sliced, since a slice costs as much as a
row.
"""

import math
from collections.abc import Callable

import numpy as np
from numba import int32, int64, njit, uint8, uint16, uint64

from . import _vectors as vectors
from ._vectors import add, add_cut, lesser, lowered, raised, sub, sub_cut, upper


def _compile(function: Callable, **options: bool) -> Callable:
    return njit(function, nogil=True, error_model='numpy', **options)


def _compile_entry(function: Callable) -> Callable:
    try:
        return _compile(function, cache=True)
    except RuntimeError:  # no folder that numba could write its cache to: compiled in each process
        return _compile(function)


_ZERO, _ONE, _TWO, _THREE = (uint64(n) for n in range(4))
_LANES, _TILE = uint64(vectors.LANES), uint64(16)
_LANES_3, _LANES_4 = _LANES * _THREE, _LANES * uint64(4)
_BLOCK = uint64(1 << 20)

# Operations on planes, numbered as ``compiled`` numbers them.
BRIGHTNESS, CONTRAST, SATURATION, HUE, GRAY, BLUR = range(6)


@_compile
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


@_compile
def _narrow(src, start, pitch, columns, width, taps, strip, turned, out, to):
    """Resize 32 rows of interleaved pixels to ``width``; ``out``: rows of blue, of green, of red.

    SIMD goes along rows, so they are transposed before, to ``strip``, and after, from ``turned``.
    """
    first, count, whole, real, most = taps
    values, row = columns * _THREE, width * _THREE
    for column in range(_ZERO, values, _TILE):
        column = min(column, values - _TILE)
        for half in range(_ZERO, _LANES, _TILE):
            vectors.transpose_tile(
                src, start + half * pitch + column, pitch, strip, column * _LANES + half, _LANES
            )
    for x in range(width):
        a, w = first[x] * _LANES_3, x * most
        if real.size:
            vectors.weigh_real_3(strip, a, _LANES_3, real, w, count, turned, x * _LANES_3)
        else:
            vectors.weigh_3(strip, a, _LANES_3, whole, w, count, turned, x * _LANES_3)
    for channel in range(_THREE):
        for x in range(_ZERO, width, _TILE):
            x = min(x, width - _TILE)
            for half in range(_ZERO, _LANES, _TILE):
                vectors.transpose_tile(
                    turned,
                    x * _LANES_3 + channel * _LANES + half,
                    _LANES_3,
                    out,
                    to + half * row + channel * width + x,
                    row,
                )


@_compile
def _weigh_rows(src, start, step, whole, real, w, count, out, to, width):
    """Sum rows of pixels up, weighted; the last vector of the row overlaps."""
    x = _ZERO
    if real.size:
        while x + _LANES_3 <= width:
            vectors.weigh_real_3(src, start + x, step, real, w, count, out, to + x)
            x += _LANES_3
    else:
        while x + _LANES_4 <= width:
            vectors.weigh_4(src, start + x, step, whole, w, count, out, to + x)
            x += _LANES_4
    while x < width:
        x = min(x, width - _LANES)
        if real.size:
            vectors.weigh_real_1(src, start + x, step, real, w, count, out, to + x)
        else:
            vectors.weigh_1(src, start + x, step, whole, w, count, out, to + x)
        x += _LANES


@_compile
def _resize(img, x, y, columns, rows, out, cubic, flip):
    """Resize a box of an image to three planes, horizontally first as Pillow does.

    Strip by strip of 32 rows: output rows are summed up as soon as their taps are there.
    """
    src, pitch = img.reshape(-1), uint64(img.shape[1]) * _THREE
    start = uint64(y) * pitch + uint64(x) * _THREE
    height, width = out.shape[1], uint64(out.shape[2])
    across = _taps(columns, out.shape[2], cubic, flip)
    first, count, whole, real, most = _taps(rows, height, cubic, False)
    if rows < _LANES:  # a strip reaches over the box, but not over the image
        lead = uint64(y) - min(uint64(y), uint64(img.shape[0]) - _LANES)
        start -= lead * pitch
        first += lead
        rows = int64(_LANES)
    columns, rows, height, row = uint64(columns), uint64(rows), uint64(height), width * _THREE
    # Taps of weight 0 reach beyond the box.
    strip = np.empty(columns * _LANES_3 + across[1] * _LANES_3, np.uint8)
    turned = np.empty(row * _LANES, np.uint8)
    # Narrow rows from row ``begin`` of the box on: those still needed, and a new strip.
    held = np.empty((_LANES + count + count) * row, np.uint8)
    begin, end, done = _ZERO, _ZERO, _ZERO
    flat = out.reshape(-1)
    while done < height:
        top = min(end, rows - _LANES)  # the last strip overlaps
        kept = min(first[done], end)
        if top < kept:
            begin = top
        else:
            for i in range((end - kept) * row):
                held[i] = held[(kept - begin) * row + i]
            begin = kept
        at = start + top * pitch
        _narrow(src, at, pitch, columns, width, across, strip, turned, held, (top - begin) * row)
        end = top + _LANES
        while done < height and (end == rows or first[done] + count <= end):
            for channel in range(_THREE):
                a, w = (first[done] - begin) * row + channel * width, done * most
                to = (channel * height + done) * width
                _weigh_rows(held, a, row, whole, real, w, count, flat, to, width)
            done += _ONE


@_compile
def _brightness(pixels, size, bits, factor, offset):
    """Map every value to ``factor * value + offset``, cut to a whole level, in place.

    ``bits`` of fraction leave room for the factor, below ``2 ** (8 - bits)``.
    """
    # Rounded up, so that a product that is a whole level stays one.
    times = uint16(math.ceil(factor * 2.0 ** (8 + bits)))
    more = uint16(max(offset, 0.0) * 2.0**bits)
    less = uint16(max(-offset, 0.0) * 2.0**bits)
    bits = uint16(bits)
    for i in range(_THREE * size):
        value = upper(raised(uint16(pixels[i]), uint16(8)), times)
        value = sub_cut(add_cut(value, more), less)
        pixels[i] = uint8(lesser(lowered(value, bits), uint16(255)))


@_compile
def _mean_luma(pixels, size):
    """Compute the mean luma, a float."""
    blue, green, red = int64(0), int64(0), int64(0)
    for begin in range(_ZERO, size, _BLOCK):
        b, g, r = int32(0), int32(0), int32(0)  # narrow sums, which a block does not overflow
        for i in range(begin, min(begin + _BLOCK, size)):
            b = int32(b + pixels[i])
            g = int32(g + pixels[size + i])
            r = int32(r + pixels[size + size + i])
        blue += b
        green += g
        red += r
    return (0.114 * blue + 0.587 * green + 0.2989 * red) / size


@_compile
def _luma(b, g, r):
    """ITU-R 601-2 luma of three pixels in 1 / 256, in 1 / 128."""
    value = add(upper(b, uint16(3736)), upper(g, uint16(19235)))
    # The weights add up to 0.9999; with the last one rounded up, equal colours keep their level.
    return add(add(value, upper(r, uint16(9797))), uint16(1))


@_compile
def _saturation(pixels, size, bits, factor):
    """Map every value to ``factor * value + (1 - factor) * luma``, in place; ``bits`` as above."""
    times = uint16(math.ceil(factor * 2.0 ** (8 + bits)))
    more = uint16(max(1.0 - factor, 0.0) * 2.0 ** (8 + bits))
    less = uint16(max(factor - 1.0, 0.0) * 2.0 ** (8 + bits))
    bits = uint16(bits)
    for i in range(size):
        b = raised(uint16(pixels[i]), uint16(8))
        g = raised(uint16(pixels[size + i]), uint16(8))
        r = raised(uint16(pixels[size + size + i]), uint16(8))
        luma = raised(_luma(b, g, r), uint16(1))
        plus, minus = upper(luma, more), upper(luma, less)
        b = sub_cut(add_cut(upper(b, times), plus), minus)
        g = sub_cut(add_cut(upper(g, times), plus), minus)
        r = sub_cut(add_cut(upper(r, times), plus), minus)
        pixels[i] = uint8(lesser(lowered(b, bits), uint16(255)))
        pixels[size + i] = uint8(lesser(lowered(g, bits), uint16(255)))
        pixels[size + size + i] = uint8(lesser(lowered(r, bits), uint16(255)))


@_compile
def _gray(pixels, size):
    """Replace the three colours by their luma, rounded, in place."""
    for i in range(size):
        b = raised(uint16(pixels[i]), uint16(8))
        g = raised(uint16(pixels[size + i]), uint16(8))
        r = raised(uint16(pixels[size + size + i]), uint16(8))
        gray = uint8(lowered(add(_luma(b, g, r), uint16(64)), uint16(7)))
        pixels[i] = gray
        pixels[size + i] = gray
        pixels[size + size + i] = gray


@_compile
def _apart(a, b):
    """The absolute difference of two uint16."""
    return add(sub_cut(a, b), sub_cut(b, a))


@_compile
def _hue(pixels, size, turns):
    """Turn the hue in exact HSV, rounded, in place.

    The hue in sixths of a turn is ``side / chroma``, red at 0. All is kept times the chroma, in
    1 / 16: so nothing is divided.
    """
    most, four, half = uint16(255), uint16(4), uint16(8)
    turn = uint16((turns - math.floor(turns)) * 6 * 4096 + 0.5)
    for i in range(size):
        b = uint16(pixels[i])
        g = uint16(pixels[size + i])
        r = uint16(pixels[size + size + i])
        # 255 less the least of the rests: the greatest.
        rest = lesser(lesser(sub(most, b), sub(most, g)), sub(most, r))
        top, low = sub(most, rest), lesser(lesser(b, g), r)
        chroma = sub(top, low)
        once = raised(chroma, four)
        twice = add(once, once)
        thrice, fourfold = add(once, twice), add(twice, twice)
        circle = add(thrice, thrice)
        # One chroma too much, lest it be negative.
        side = add(raised(sub(r, g), four), add(once, fourfold))
        side = add(raised(sub(b, r), four), thrice) if top == g else side
        side = add(raised(sub(g, b), four), once) if top == r else side
        side = add(side, upper(raised(chroma, uint16(8)), turn))
        # Numbers below 0 are large ones, so the lesser of two is the one in the circle.
        side = lesser(side, sub(side, circle))
        side = sub(side, once)
        side = lesser(side, add(side, circle))
        low = add(raised(low, four), half)
        blue = lesser(sub_cut(twice, _apart(side, fourfold)), once)
        green = lesser(sub_cut(twice, _apart(side, twice)), once)
        red = lesser(sub_cut(_apart(side, thrice), once), once)
        pixels[i] = uint8(lowered(add(low, blue), four))
        pixels[size + i] = uint8(lowered(add(low, green), four))
        pixels[size + size + i] = uint8(lowered(add(low, red), four))


@_compile
def _mirrored(i, size):
    """Index in a row that is continued beyond its end as in a mirror, the edge not repeated."""
    if i < size:
        return i
    period = max(2 * size - 2, 1)
    i %= period
    return min(i, period - i)


@_compile
def _blur(pixels, width, height, sigma):
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
    tall = np.empty(size + _TWO * reach * columns + _LANES_4, np.uint16)
    row = np.empty(columns + _TWO * reach + _LANES_4, np.uint16)
    spilled = np.empty(columns + _LANES, np.uint8)
    for channel in range(_THREE):
        plane, first = channel * size, reach * columns
        for i in range(size):
            tall[first + i] = raised(uint16(pixels[plane + i]), uint16(7))
        for k in range(_ONE, reach + _ONE):
            inside = uint64(_mirrored(int64(k), height)) * columns
            for x in range(columns):
                tall[first - k * columns + x] = tall[first + inside + x]
                tall[first + size - columns + k * columns + x] = tall[
                    first + size - columns - inside + x
                ]
        for y in range(rows):
            at = first + y * columns
            x = _ZERO
            while x + _LANES_4 <= columns:
                vectors.weigh_pairs_4(tall, at + x, columns, weights, count, row, reach + x)
                x += _LANES_4
            while x < columns:
                vectors.weigh_pairs_1(tall, at + x, columns, weights, count, row, reach + x)
                x += _LANES
            for k in range(_ONE, reach + _ONE):
                inside = uint64(_mirrored(int64(k), width))
                row[reach - k] = row[reach + inside]
                row[reach + columns - _ONE + k] = row[reach + columns - _ONE - inside]
            # Vectors reach over the row's end: into rows that are still to come, or nowhere.
            to, x, out = plane + y * columns, _ZERO, pixels
            spills = y * columns + columns + _LANES > size
            if spills:
                to, out = _ZERO, spilled
            while x + _LANES_4 <= columns:
                vectors.weigh_pairs_last_4(row, reach + x, _ONE, weights, count, out, to + x)
                x += _LANES_4
            while x < columns:
                vectors.weigh_pairs_last_1(row, reach + x, _ONE, weights, count, out, to + x)
                x += _LANES
            if spills:
                for x in range(columns):
                    pixels[plane + y * columns + x] = spilled[x]


@_compile
def _apply(pixels, width, height, steps):
    size = uint64(width) * uint64(height)
    for i in range(0, steps.shape[0], 2):
        operation, value = int(steps[i]), steps[i + 1]
        bits = 7
        while value >= 2 ** (8 - bits):
            bits -= 1
        if operation == BRIGHTNESS:
            _brightness(pixels, size, bits, value, 0.0)
        elif operation == CONTRAST:
            _brightness(pixels, size, bits, value, (1 - value) * _mean_luma(pixels, size))
        elif operation == SATURATION:
            _saturation(pixels, size, bits, value)
        elif operation == HUE:
            _hue(pixels, size, value)
        elif operation == GRAY:
            _gray(pixels, size)
        elif operation == BLUR:
            _blur(pixels, width, height, value)


@_compile_entry
def apply(planes, steps):
    """Apply operations to three planes, in place.

    ``planes`` is (3, H, W), uint8; ``steps`` float64: the number of an operation, its factor (up to
    16), its shift (turns) or its sigma (pixels), then the next.
    """
    _apply(planes.reshape(-1), planes.shape[2], planes.shape[1], steps)


@_compile_entry
def draw(img, x, y, columns, rows, width, height, cubic, flip, steps):
    """Cut a box out of an image, resize it as Pillow does, mirror it, apply operations.

    ``img`` is (H, W, 3), uint8, at least 32 high; the box at least 6 wide, the result 32. Returns
    (3, height, width).
    """
    out = np.empty((3, height, width), np.uint8)
    _resize(img, x, y, columns, rows, out, cubic, flip)
    _apply(out.reshape(-1), width, height, steps)
    return out
