"""Operations on colors, on flat planes and in place.

In all of them ``pixels`` is a uint8 array (3 * size,): the planes B, G and R of ``size`` pixels
each (uint64), with levels from 0 to 255. Between load and store a value is a 16-bit fixed-point
number, as explained in docs/kernels.md. Nothing checks bounds.
"""

import math

from numba import int32, int64, uint8, uint16, uint64

from .common import THREE, ZERO, jit
from .vectors import add, add_sat, lshr, mulhi, shl, sub, sub_sat, umin

BLOCK = uint64(1 << 20)


@jit
def fixed_point(factor, bits):
    """Convert a factor (float64, from 0 to below ``2 ** (8 - bits)``) to uint16.

    One is ``2 ** (8 + bits)``. The result is rounded up, so that a product that is a whole level
    stays whole, but it never exceeds 16 bits.
    """
    return uint16(min(math.ceil(factor * 2.0 ** (8 + bits)), 65535))


@jit
def brightness(pixels, size, bits, factor, offset):
    """Replace every value by ``factor * value + offset``, in place.

    ``factor`` is float64, from 0 to below ``2 ** (8 - bits)``. ``offset`` is float64, in levels, of
    any sign. ``bits``, an int from 3 to 7, is the number of fraction bits between load and store.
    The result saturates at 0 and 255 and its fraction is cut off, as in torchvision.
    """
    times = fixed_point(factor, bits)
    more = uint16(max(offset, 0.0) * 2.0**bits)
    less = uint16(max(-offset, 0.0) * 2.0**bits)
    bits = uint16(bits)
    for i in range(THREE * size):
        value = mulhi(shl(uint16(pixels[i]), uint16(8)), times)
        value = sub_sat(add_sat(value, more), less)
        pixels[i] = uint8(umin(lshr(value, bits), uint16(255)))


@jit
def mean_luma(pixels, size):
    """Compute the mean luma of all pixels, float64 in levels from 0 to 255, without rounding."""
    blue, green, red = int64(0), int64(0), int64(0)
    for begin in range(ZERO, size, BLOCK):
        b, g, r = int32(0), int32(0), int32(0)  # a block cannot overflow these narrow sums
        for i in range(begin, min(begin + BLOCK, size)):
            b = int32(b + pixels[i])
            g = int32(g + pixels[size + i])
            r = int32(r + pixels[size + size + i])
        blue += b
        green += g
        red += r
    return (0.114 * blue + 0.587 * green + 0.2989 * red) / size


@jit
def _luma(b, g, r):
    """Compute the ITU-R 601-2 luma of B, G and R (uint16, 256 per level): uint16, 128 per level.

    Each of the three products is cut to whole units of 1 / 128 of a level.
    """
    value = add(mulhi(b, uint16(3736)), mulhi(g, uint16(19235)))
    # The weights add up to 0.9999; rounding the last one up lets equal colors keep their level.
    return add(add(value, mulhi(r, uint16(9797))), uint16(1))


@jit
def saturation(pixels, size, bits, factor):
    """Replace every value by ``factor * value + (1 - factor) * luma``, in place.

    ``factor`` and ``bits`` are as in ``brightness``; the luma has 7 fraction bits. The result
    saturates at 0 and 255 and its fraction is cut off.
    """
    times = fixed_point(factor, bits)
    more = uint16(max(1.0 - factor, 0.0) * 2.0 ** (8 + bits))
    less = uint16(max(factor - 1.0, 0.0) * 2.0 ** (8 + bits))
    bits = uint16(bits)
    for i in range(size):
        b = shl(uint16(pixels[i]), uint16(8))
        g = shl(uint16(pixels[size + i]), uint16(8))
        r = shl(uint16(pixels[size + size + i]), uint16(8))
        luma = shl(_luma(b, g, r), uint16(1))
        plus, minus = mulhi(luma, more), mulhi(luma, less)
        b = sub_sat(add_sat(mulhi(b, times), plus), minus)
        g = sub_sat(add_sat(mulhi(g, times), plus), minus)
        r = sub_sat(add_sat(mulhi(r, times), plus), minus)
        pixels[i] = uint8(umin(lshr(b, bits), uint16(255)))
        pixels[size + i] = uint8(umin(lshr(g, bits), uint16(255)))
        pixels[size + size + i] = uint8(umin(lshr(r, bits), uint16(255)))


@jit
def gray(pixels, size):
    """Replace the three colors by their luma, rounded to the nearest level, in place."""
    for i in range(size):
        b = shl(uint16(pixels[i]), uint16(8))
        g = shl(uint16(pixels[size + i]), uint16(8))
        r = shl(uint16(pixels[size + size + i]), uint16(8))
        gray = uint8(lshr(add(_luma(b, g, r), uint16(64)), uint16(7)))
        pixels[i] = gray
        pixels[size + i] = gray
        pixels[size + size + i] = gray


@jit
def solarize(pixels, size, threshold):
    """Replace levels of at least ``threshold`` (0 to 256) by 255 - level, in place; exact."""
    threshold = uint16(threshold)
    for i in range(THREE * size):
        if uint16(pixels[i]) >= threshold:
            pixels[i] = uint8(pixels[i] ^ uint8(255))


@jit
def _abs_diff(a, b):
    """Return the absolute difference of two uint16, exact."""
    return add(sub_sat(a, b), sub_sat(b, a))


@jit
def hue(pixels, size, turns):
    """Turn the hue by ``turns`` (float64, any number of turns of the color circle), in place.

    The hue in sixths of a turn is ``side / chroma``, with red at 0. All values are kept multiplied
    by the chroma, with 4 fraction bits, so that no division is needed. The result is rounded to the
    nearest level and is within one level of exact HSV.
    """
    most, four, half = uint16(255), uint16(4), uint16(8)
    turn = uint16((turns - math.floor(turns)) * 6 * 4096 + 0.5)
    for i in range(size):
        b = uint16(pixels[i])
        g = uint16(pixels[size + i])
        r = uint16(pixels[size + size + i])
        # max(b, g, r) = 255 - min(255 - b, 255 - g, 255 - r).
        rest = umin(umin(sub(most, b), sub(most, g)), sub(most, r))
        top, low = sub(most, rest), umin(umin(b, g), r)
        chroma = sub(top, low)
        once = shl(chroma, four)
        twice = add(once, once)
        thrice, fourfold = add(once, twice), add(twice, twice)
        circle = add(thrice, thrice)
        # The chroma is added once, so that no value is negative, and subtracted below.
        side = add(shl(sub(r, g), four), add(once, fourfold))
        side = add(shl(sub(b, r), four), thrice) if top == g else side
        side = add(shl(sub(g, b), four), once) if top == r else side
        side = add(side, mulhi(shl(chroma, uint16(8)), turn))
        # A negative number wraps around to a large one, so the minimum is the value on the
        # circle.
        side = umin(side, sub(side, circle))
        side = sub(side, once)
        side = umin(side, add(side, circle))
        low = add(shl(low, four), half)
        blue = umin(sub_sat(twice, _abs_diff(side, fourfold)), once)
        green = umin(sub_sat(twice, _abs_diff(side, twice)), once)
        red = umin(sub_sat(_abs_diff(side, thrice), once), once)
        pixels[i] = uint8(lshr(add(low, blue), four))
        pixels[size + i] = uint8(lshr(add(low, green), four))
        pixels[size + size + i] = uint8(lshr(add(low, red), four))
