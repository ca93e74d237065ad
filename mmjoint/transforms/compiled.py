"""The pixel work of the views, compiled by numba for the CPU it runs on; for uint8 BGR images.

numba is optional (extra ``fast``). Where it is not installed, ``fits`` is False throughout and the
transforms work through OpenCV and torch, with the same pixels to one level (hue: to two steps of
8-bit HSV). Images go in and out as (H, W, 3) arrays whose memory is three planes, one a channel.

The loops themselves are in ``_kernels``, imported at first use since importing numba takes time.
"""

import logging
from importlib.util import find_spec
from types import ModuleType

import cv2
import numpy as np
from mmengine.logging import print_log

# Whether the loops are used. To be changed before the first view is made, or by tests.
ENABLED = find_spec('numba') is not None
_prepared = False

_OPERATIONS = dict(brightness=0, contrast=1, saturation=2, hue=3)
_NO_STEPS = [(-1, 0.0)] * len(_OPERATIONS)


def prepare() -> None:
    """Compile the loops, or read them from numba's cache, before the loader's workers start.

    Says so in the log if views are made without numba.
    """
    global ENABLED, _prepared
    if _prepared:
        return
    _prepared = True
    missing = 'numba is not installed'
    if ENABLED:
        try:
            img = jitter(resize(np.zeros((2, 2, 3), np.uint8), (3, 3)), [('hue', 0.0)])
        except ImportError as error:  # numba refuses a version of NumPy that it does not know
            ENABLED, missing = False, str(error)
        else:
            to_gray(img)
            return
    print_log(
        f'views are made without compiled loops, which are quicker: {missing} '
        "(pip install 'mmjoint[fast]')",
        logger='current',
        level=logging.INFO,
    )


def fits(img: np.ndarray) -> bool:
    """Whether the functions below take this image: uint8 of shape (H, W, 3), numba installed."""
    return ENABLED and img.dtype == np.uint8 and img.ndim == 3 and img.shape[2] == 3


def planes(img: np.ndarray) -> np.ndarray:
    """Lay an image's channels out one after the other, unless they lie so already.

    Args:
        img (np.ndarray): (H, W, 3), uint8, of any strides.

    Returns:
        np.ndarray: (3, H, W), contiguous; a view of the image's memory where that is possible.
    """
    moved = img.transpose(2, 0, 1)
    if moved.flags.c_contiguous:
        return moved
    back = moved[..., ::-1]
    if back.flags.c_contiguous:  # flipped by its strides, as mmcv's RandomFlip does
        return cv2.flip(back.reshape(-1, img.shape[1]), 1).reshape(moved.shape)
    out = np.empty(moved.shape, np.uint8)
    cv2.split(img, list(out))
    return out


def _loops() -> ModuleType:
    from . import _kernels

    return _kernels


def resize(img: np.ndarray, size: tuple[int, int], interpolation: str = 'bilinear') -> np.ndarray:
    """Resize with antialiasing, in Pillow's two passes.

    Args:
        img (np.ndarray): (H, W, 3), uint8, of any strides.
        size (tuple[int, int]): (width, height) of the result, pixels.
        interpolation (str): ``'bilinear'`` or ``'bicubic'``. Defaults to ``'bilinear'``.

    Returns:
        np.ndarray: A new image, of shape (height, width, 3), its memory three planes.
    """
    (width, height), (rows, columns) = size, img.shape[:2]
    cubic = interpolation == 'bicubic'
    resample_rows = _loops().resample_rows
    out = np.empty((3, height, width), np.uint8)
    if width == columns:
        source = planes(img).reshape(-1, width)
        resample_rows(source, rows, width, rows * width, cubic, out)
        return out.transpose(1, 2, 0)
    # SIMD goes along rows, so the horizontal pass works on the transposed image: its rows are those
    # of the first pixel's channels, then those of the second's.
    if img.strides[1:] != (3, 1):
        img = np.ascontiguousarray(img)
    turned = cv2.transpose(img.reshape(rows, -1))
    narrow = np.empty((3, width, rows), np.uint8)
    resample_rows(turned, columns, 3 * rows, rows, cubic, narrow)
    upright = cv2.transpose(narrow.reshape(-1, rows))  # each row: blue, green, red
    resample_rows(upright, rows, 3 * width, width, cubic, out)
    return out.transpose(1, 2, 0)


def jitter(img: np.ndarray, operations: list[tuple[str, float]]) -> np.ndarray:
    """Apply colour operations one after the other, each cut to whole levels as torchvision's.

    Args:
        img (np.ndarray): (H, W, 3), uint8, BGR.
        operations (list[tuple[str, float]]): At most four: ``'brightness'``, ``'contrast'`` or
            ``'saturation'`` with its factor, or ``'hue'`` with its shift in turns.

    Returns:
        np.ndarray: A new image.
    """
    out = planes(img)
    if np.may_share_memory(out, img):
        out = out.copy()
    steps = [(_OPERATIONS[name], float(value)) for name, value in operations]
    _loops().jitter(out.reshape(3, -1), *steps, *_NO_STEPS[len(steps) :])
    return out.transpose(1, 2, 0)


def to_gray(img: np.ndarray) -> np.ndarray:
    """Replace the channels by their luma, rounded.

    Args:
        img (np.ndarray): (H, W, 3), uint8, BGR.

    Returns:
        np.ndarray: A new image of three equal channels.
    """
    out = np.empty((3, img.shape[0], img.shape[1]), np.uint8)
    _loops().luma(planes(img).reshape(3, -1), out.reshape(3, -1))
    return out.transpose(1, 2, 0)
