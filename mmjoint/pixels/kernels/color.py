"""Operations on colours, in place: ``pixels`` are three planes of ``size`` each, B, G, R.

Between load and store a value is a 16-bit number, its fraction in as many bits as fit.
"""

import math

from numba import int32, int64, uint8, uint16, uint64

from .common import THREE, ZERO, jit
from .vectors import add, add_cut, lesser, lowered, raised, sub, sub_cut, upper

BLOCK = uint64(1 << 20)


@jit
def _times(factor, bits):
    """A factor below ``2 ** (8 - bits)`` in 16 bits."""
    # Rounded up, so that a product that is a whole level stays one; but not beyond 16 bits.
    return uint16(min(math.ceil(factor * 2.0 ** (8 + bits)), 65535))


@jit
def brightness(pixels, size, bits, factor, offset):
    """Map every value to ``factor * value + offset``, cut to a whole level, in place.

    ``bits`` of fraction leave room for the factor, below ``2 ** (8 - bits)``.
    """
    times = _times(factor, bits)
    more = uint16(max(offset, 0.0) * 2.0**bits)
    less = uint16(max(-offset, 0.0) * 2.0**bits)
    bits = uint16(bits)
    for i in range(THREE * size):
        value = upper(raised(uint16(pixels[i]), uint16(8)), times)
        value = sub_cut(add_cut(value, more), less)
        pixels[i] = uint8(lesser(lowered(value, bits), uint16(255)))


@jit
def mean_luma(pixels, size):
    """Compute the mean luma, a float."""
    blue, green, red = int64(0), int64(0), int64(0)
    for begin in range(ZERO, size, BLOCK):
        b, g, r = int32(0), int32(0), int32(0)  # narrow sums, which a block does not overflow
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
    """ITU-R 601-2 luma of three pixels in 1 / 256, in 1 / 128."""
    value = add(upper(b, uint16(3736)), upper(g, uint16(19235)))
    # The weights add up to 0.9999; with the last one rounded up, equal colours keep their level.
    return add(add(value, upper(r, uint16(9797))), uint16(1))


@jit
def saturation(pixels, size, bits, factor):
    """Map every value to ``factor * value + (1 - factor) * luma``, in place; ``bits`` as above."""
    times = _times(factor, bits)
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


@jit
def gray(pixels, size):
    """Replace the three colours by their luma, rounded, in place."""
    for i in range(size):
        b = raised(uint16(pixels[i]), uint16(8))
        g = raised(uint16(pixels[size + i]), uint16(8))
        r = raised(uint16(pixels[size + size + i]), uint16(8))
        gray = uint8(lowered(add(_luma(b, g, r), uint16(64)), uint16(7)))
        pixels[i] = gray
        pixels[size + i] = gray
        pixels[size + size + i] = gray


@jit
def solarize(pixels, size, threshold):
    """Invert the values from ``threshold`` on, in place."""
    threshold = uint16(threshold)
    for i in range(THREE * size):
        if uint16(pixels[i]) >= threshold:
            pixels[i] = uint8(pixels[i] ^ uint8(255))


@jit
def _apart(a, b):
    """The absolute difference of two uint16."""
    return add(sub_cut(a, b), sub_cut(b, a))


@jit
def hue(pixels, size, turns):
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
