"""The loops behind ``compiled``, on planes: flat or (3, pixels), uint8.

Written for LLVM's vectoriser. Indices are unsigned, since with signed ones numba looks after
negative indices at every step; arrays are not sliced, since a slice costs as much as a row.
"""

import math
from collections.abc import Callable

import numpy as np
from numba import float32, int32, int64, njit, uint8, uint64


def _compile(function: Callable) -> Callable:
    # Sums may be taken in any order, as SIMD does; no NaN occurs.
    options = dict(nogil=True, error_model='numpy', fastmath=True)
    try:
        return njit(function, cache=True, **options)
    except RuntimeError:  # no folder that numba could write its cache to: compiled in each process
        return njit(function, **options)


_ZERO, _ONE, _TWO, _THREE, _FOUR, _FIVE = (uint64(n) for n in range(6))
_LUMA_B, _LUMA_G, _LUMA_R = float32(0.114), float32(0.587), float32(0.2989)
_LEVELS = float32(255)
_BLOCK = uint64(1 << 20)


@_compile
def _level(value):
    """Cut to a whole level in [0, 255]."""
    return uint8(int32(min(max(value, float32(0)), _LEVELS)))


@_compile
def _taps(size_in, size_out, cubic):
    """Weights of Pillow's antialiased resize.

    Returns the first tap of each output pixel, the number of taps, and the weights, with zeros
    after the last for loops that take several at a time.
    """
    scale = size_in / size_out
    stretch = max(scale, 1.0)
    reach = 2.0 * stretch if cubic else stretch
    most = int(math.ceil(reach)) * 2 + 1
    first = np.empty(size_out, np.uint64)
    count = np.empty(size_out, np.uint64)
    weights = np.zeros((size_out, most + 4), np.float32)
    for i in range(size_out):
        centre = (i + 0.5) * scale
        begin = max(0, int(centre - reach + 0.5))
        end = min(size_in, int(centre + reach + 0.5))
        total = 0.0
        for k in range(begin, end):
            t = abs(k + 0.5 - centre) / stretch
            if not cubic:
                w = max(0.0, 1.0 - t)
            elif t < 1.0:
                w = (1.5 * t - 2.5) * t * t + 1.0
            else:
                w = max(0.0, 2.0 - t) * (1.0 - t) * (t - 2.0) * -0.5
            weights[i, k - begin] = w
            total += w
        for k in range(end - begin):
            weights[i, k] /= total
        first[i] = begin
        count[i] = end - begin
    return first, count, weights


@_compile
def resample_rows(src, rows_in, row_step, channel_step, cubic, out):
    """Bring the number of rows to ``out``'s, each a weighted sum of rows, rounded.

    ``out`` is (channels, rows, width). ``src`` is taken as flat: row i of its channel c begins at
    ``i * row_step + c * channel_step``.
    """
    src = src.reshape(-1)
    step, channel_step = uint64(row_step), uint64(channel_step)
    rows, width = uint64(out.shape[1]), uint64(out.shape[2])
    first, count, weights = _taps(rows_in, out.shape[1], cubic)
    flat = out.reshape(-1)
    last = uint64(rows_in) - _ONE
    half = float32(0.5)
    sums = np.empty(width, np.float32)
    for channel in range(uint64(out.shape[0])):
        for y in range(rows):
            n = count[y]
            ahead = last - first[y]
            a = channel * channel_step + first[y] * step
            b = a + min(_ONE, ahead) * step
            c = a + min(_TWO, ahead) * step
            d = a + min(_THREE, ahead) * step
            e = a + min(_FOUR, ahead) * step
            wa, wb, wc = weights[y, 0], weights[y, 1], weights[y, 2]
            wd, we = weights[y, 3], weights[y, 4]
            to = (channel * rows + y) * width
            # The usual numbers of taps go without sums in memory.
            if n <= _TWO:
                for x in range(width):
                    s = wa * float32(src[a + x]) + wb * float32(src[b + x])
                    flat[to + x] = _level(s + half)
            elif n == _THREE:
                for x in range(width):
                    s = wa * float32(src[a + x]) + wb * float32(src[b + x])
                    flat[to + x] = _level(s + wc * float32(src[c + x]) + half)
            elif n == _FOUR:
                for x in range(width):
                    s = wa * float32(src[a + x]) + wb * float32(src[b + x])
                    s += wc * float32(src[c + x]) + wd * float32(src[d + x])
                    flat[to + x] = _level(s + half)
            elif n == _FIVE:
                for x in range(width):
                    s = wa * float32(src[a + x]) + wb * float32(src[b + x])
                    s += wc * float32(src[c + x]) + wd * float32(src[d + x])
                    flat[to + x] = _level(s + we * float32(src[e + x]) + half)
            else:
                for x in range(width):
                    s = wa * float32(src[a + x]) + wb * float32(src[b + x])
                    s += wc * float32(src[c + x]) + wd * float32(src[d + x])
                    sums[x] = s + we * float32(src[e + x]) + half
                for k in range(_FIVE, n, _TWO):
                    b = a + min(k, ahead) * step
                    c = a + min(k + _ONE, ahead) * step
                    wb, wc = weights[y, k], weights[y, k + _ONE]
                    for x in range(width):
                        sums[x] += wb * float32(src[b + x]) + wc * float32(src[c + x])
                for x in range(width):
                    flat[to + x] = _level(sums[x])


@_compile
def blend_with_level(pixels, factor, offset):
    """Map every value to ``factor * value + offset``, in place."""
    factor, offset = float32(factor), float32(offset)
    flat = pixels.reshape(-1)
    for i in range(uint64(flat.shape[0])):
        flat[i] = _level(factor * float32(flat[i]) + offset)


@_compile
def mean_luma(pixels):
    """Compute the mean luma, a float."""
    n = uint64(pixels.shape[1])
    blue, green, red = int64(0), int64(0), int64(0)
    for begin in range(_ZERO, n, _BLOCK):
        b, g, r = int32(0), int32(0), int32(0)  # narrow sums, which a block does not overflow
        for i in range(begin, min(begin + _BLOCK, n)):
            b = int32(b + pixels[0, i])
            g = int32(g + pixels[1, i])
            r = int32(r + pixels[2, i])
        blue += b
        green += g
        red += r
    return (0.114 * blue + 0.587 * green + 0.2989 * red) / n


@_compile
def blend_with_luma(pixels, factor):
    """Map every value to ``factor * value + (1 - factor) * luma``, in place."""
    factor = float32(factor)
    rest = float32(1) - factor
    for i in range(uint64(pixels.shape[1])):
        b, g, r = float32(pixels[0, i]), float32(pixels[1, i]), float32(pixels[2, i])
        gray = rest * (_LUMA_B * b + _LUMA_G * g + _LUMA_R * r)
        pixels[0, i] = _level(factor * b + gray)
        pixels[1, i] = _level(factor * g + gray)
        pixels[2, i] = _level(factor * r + gray)


@_compile
def luma(pixels, out):
    """Write the luma, rounded, to all three channels."""
    for i in range(uint64(pixels.shape[1])):
        b, g, r = float32(pixels[0, i]), float32(pixels[1, i]), float32(pixels[2, i])
        gray = uint8(int32(_LUMA_B * b + _LUMA_G * g + _LUMA_R * r + float32(0.5)))
        out[0, i] = gray
        out[1, i] = gray
        out[2, i] = gray


@_compile
def turn_hue(pixels, turns):
    """Turn the hue in exact HSV, by at most half a turn either way; rounded, in place.

    The hue in sixths of a turn is ``side / chroma``, red at 0. All is kept times the chroma: so
    nothing is divided.
    """
    zero, half = float32(0), float32(0.5)
    two, three, four, six = float32(2), float32(3), float32(4), float32(6)
    shift = six * float32(turns)
    for i in range(uint64(pixels.shape[1])):
        b, g, r = float32(pixels[0, i]), float32(pixels[1, i]), float32(pixels[2, i])
        top, low = max(max(r, g), b), min(min(r, g), b)
        chroma = top - low
        side = r - g + four * chroma
        side = b - r + two * chroma if top == g else side
        side = g - b if top == r else side
        side += shift * chroma
        circle = six * chroma
        side = side + circle if side < zero else side
        side = side - circle if side > circle else side
        low += half
        blue = two * chroma - abs(side - four * chroma)
        green = two * chroma - abs(side - two * chroma)
        red = abs(side - three * chroma) - chroma
        pixels[0, i] = uint8(int32(low + min(max(blue, zero), chroma)))
        pixels[1, i] = uint8(int32(low + min(max(green, zero), chroma)))
        pixels[2, i] = uint8(int32(low + min(max(red, zero), chroma)))


@_compile
def jitter(pixels, first, second, third, fourth):
    """Apply up to four operations, in place: pairs of its number (0 to 3, below 0 none) and value.

    0 is brightness, 1 contrast, 2 saturation, 3 hue.
    """
    for operation, value in (first, second, third, fourth):
        if operation == 0:
            blend_with_level(pixels, value, 0.0)
        elif operation == 1:
            blend_with_level(pixels, value, (1 - value) * mean_luma(pixels))
        elif operation == 2:
            blend_with_luma(pixels, value)
        elif operation == 3:
            turn_hue(pixels, value)
