"""The functions called from outside: each makes a view, or finishes one, in a single call."""

import numpy as np
from numba import uint64

from . import color
from .blur import blur
from .common import jit, jit_cached
from .resize import resize

# The number of each operation in ``steps``. This is the only place that defines them.
BRIGHTNESS, CONTRAST, SATURATION, HUE, GRAY, BLUR, SOLARIZE = range(7)
NUMBERS = dict(
    brightness=BRIGHTNESS,
    contrast=CONTRAST,
    saturation=SATURATION,
    hue=HUE,
    gray=GRAY,
    blur=BLUR,
    solarize=SOLARIZE,
)


@jit
def _apply(pixels, width, height, steps):
    """Apply operations, given as in ``apply``, to flat planes (3 * height * width,), in place."""
    size = uint64(width) * uint64(height)
    for i in range(0, steps.shape[0], 2):
        operation, value = int(steps[i]), steps[i + 1]
        bits = 7
        while value >= 2 ** (8 - bits):
            bits -= 1
        if operation == BRIGHTNESS:
            color.brightness(pixels, size, bits, value, 0.0)
        elif operation == CONTRAST:
            color.brightness(pixels, size, bits, value, (1 - value) * color.mean_luma(pixels, size))
        elif operation == SATURATION:
            color.saturation(pixels, size, bits, value)
        elif operation == HUE:
            color.hue(pixels, size, value)
        elif operation == GRAY:
            color.gray(pixels, size)
        elif operation == BLUR:
            blur(pixels, width, height, value)
        elif operation == SOLARIZE:
            color.solarize(pixels, size, value)


@jit_cached
def apply(planes, steps):
    """Apply operations to three planes, in place; each rounds as its own docstring documents.

    ``planes`` is uint8 (3, H, W), C-contiguous, in the order B, G, R. ``steps`` is float64 (2 *
    n,): n times the number of an operation (``NUMBERS``) and its value. Values are factors in [0,
    16], shifts in turns, sigmas in pixels from above 0 to 60, and thresholds from 0 to 256.
    """
    _apply(planes.reshape(-1), planes.shape[2], planes.shape[1], steps)


@jit_cached
def draw(img, x, y, columns, rows, width, height, cubic, flip, steps):
    """Cut a box out of an image, resize it as Pillow does, mirror it and apply operations.

    ``img``, the box and the size are as in ``resize``; ``cubic`` and ``flip`` are bool; ``steps``
    is as in ``apply``. Returns uint8 (3, height, width); each step rounds as its own docstring
    documents.
    """
    out = np.empty((3, height, width), np.uint8)
    resize(img, x, y, columns, rows, out, cubic, flip)
    _apply(out.reshape(-1), width, height, steps)
    return out
