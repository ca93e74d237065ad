"""The entry to the pixels: a transform names the operations, this module chooses how they run.

There are three ways. A view whose pixels are not made yet (``Deferred``) records its operations and
is drawn by one compiled call at the end. A uint8 BGR array goes through the compiled loops
(``compiled``). Everything else goes through OpenCV and torch (``plain``), and so does everything
where numba is missing or fails. The pixels of the three agree within ``tolerances``.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from . import compiled, plain
from .compiled import Deferred, prepare

__all__ = [
    'Deferred',
    'apply',
    'begin',
    'crop',
    'erase',
    'finish',
    'mirror',
    'prepare',
    'resize',
    'rotate',
    'to_array',
    'upright',
]

Image = np.ndarray | Deferred
#: The ways in which a rotated image is interpolated.
INTERPOLATIONS = dict(nearest=cv2.INTER_NEAREST, bilinear=cv2.INTER_LINEAR, bicubic=cv2.INTER_CUBIC)


def begin(img: np.ndarray) -> Image:
    """Begin a view of an image that must not be changed; it is deferred where possible."""
    return Deferred(img) if compiled.can_defer(img) else img


def to_array(img: Any) -> Any:
    """Draw a deferred view; return anything else unchanged."""
    return img.array() if type(img) is Deferred else img


def finish(img: Any) -> Any:
    """Draw a view and lay out its channels as planes, as a model takes them.

    ``PackInputs`` then takes the view without rearranging it, which would be several times slower.
    Gray images, and what torchvision's transforms return (PIL images, tensors), are not changed.
    """
    if type(img) is Deferred:
        return img.array()
    if not isinstance(img, np.ndarray) or img.dtype != np.uint8 or img.shape[2:] != (3,):
        return img
    return compiled.planes(img).transpose(1, 2, 0)


def upright(img: Any) -> Any:
    """Make an image that stock RandomFlip returned contiguous; return anything else unchanged.

    RandomFlip flips by negative strides, which would make all later work several times slower.
    """
    if isinstance(img, np.ndarray) and img.strides[1] < 0:
        back = img[:, ::-1]
        if back.flags.c_contiguous:
            return cv2.flip(back, 1).reshape(img.shape)
        if img.dtype == np.uint8 and img.ndim == 3:
            return compiled.planes(img).transpose(1, 2, 0)
    return img


def crop(
    img: Image, box: tuple[int, int, int, int], size: tuple[int, int], interpolation: str
) -> Image:
    """Cut out a box and resize it with antialiasing, as Pillow does.

    Args:
        img (np.ndarray | Deferred): The image.
        box (tuple[int, int, int, int]): (x, y, width, height) in pixels, inside the image.
        size (tuple[int, int]): (width, height) of the result in pixels.
        interpolation (str): ``'bilinear'`` or ``'bicubic'``.

    Returns:
        np.ndarray | Deferred: A view of size ``size``.
    """
    if isinstance(img, Deferred) and img.crop(box, size, interpolation):
        return img
    x, y, width, height = box
    return resize(to_array(img)[y : y + height, x : x + width], size, interpolation)


def resize(img: np.ndarray, size: tuple[int, int], interpolation: str = 'bilinear') -> np.ndarray:
    """Resize with antialiasing, as Pillow does.

    Args:
        img (np.ndarray): (H, W) or (H, W, C), uint8 or float32, with any strides.
        size (tuple[int, int]): (width, height) of the result in pixels.
        interpolation (str): ``'bilinear'`` or ``'bicubic'``. Defaults to ``'bilinear'``.

    Returns:
        np.ndarray: A new array of the same type and number of dimensions, which owns its memory;
            its memory layout is not specified.
    """
    if img.shape[:2] == size[::-1]:
        return img.copy()
    out = compiled.resize(img, size, interpolation) if compiled.fits(img) else None
    return plain.resize(img, size, interpolation) if out is None else out


def mirror(img: Image) -> Image:
    """Mirror left to right; the new image has the memory layout of the given one."""
    if isinstance(img, Deferred):
        img.mirror()
        return img
    if img.dtype == np.uint8 and img.ndim == 3 and img.transpose(2, 0, 1).flags.c_contiguous:
        return compiled.planes(img[:, ::-1]).transpose(1, 2, 0)
    return cv2.flip(img, 1).reshape(img.shape)


def apply(img: Image, operations: Sequence[tuple[str, float]]) -> Image:
    """Apply operations one after the other; the result of each is cut to whole levels.

    Args:
        img (np.ndarray | Deferred): uint8 (for blur also float32), gray or BGR.
        operations (Sequence[tuple[str, float]]): ``'brightness'``, ``'contrast'`` or
            ``'saturation'`` with a factor; ``'hue'`` with a shift in turns; ``'blur'`` with a sigma
            in pixels, above 0; ``'solarize'`` with the lowest level that is inverted; ``'gray'``
            with any number, which is ignored.

    Returns:
        np.ndarray | Deferred: The given deferred view with the operations recorded, or a new image.
    """
    if isinstance(img, Deferred):
        if img.do(operations):
            return img
        img = img.array()
    if compiled.fits(img):
        out = compiled.apply(img, operations)
        if out is not None:
            return out
    for name, value in operations:
        img = plain.OPERATIONS[name](img, value)
    return img


def rotate(img: np.ndarray, angle: float, fill: float, interpolation: str) -> np.ndarray:
    """Rotate about the center, keeping the size.

    Args:
        img (np.ndarray): (H, W) or (H, W, C), uint8 or float32.
        angle (float): Degrees, counterclockwise.
        fill (float): Level of what the rotated image does not cover.
        interpolation (str): A key of ``INTERPOLATIONS``.

    Returns:
        np.ndarray: A new array of the same shape and type.
    """
    height, width = img.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    out = cv2.warpAffine(
        np.ascontiguousarray(img),
        matrix,
        (width, height),
        flags=INTERPOLATIONS[interpolation],
        borderValue=(fill,) * 4,
    )
    return out.reshape(img.shape)


def erase(
    img: np.ndarray,
    box: tuple[int, int, int, int],
    fill: str | float | Sequence[float],
    seed: int = 0,
) -> np.ndarray:
    """Erase a box from a copy of an image.

    Args:
        img (np.ndarray): (H, W) or (H, W, C), uint8.
        box (tuple[int, int, int, int]): (x, y, width, height) in pixels, inside the image.
        fill (str | float | Sequence[float]): ``'mean'``, the image's mean color; ``'noise'``,
            levels drawn uniformly with ``seed``; a level, or one per channel.
        seed (int): Seed of the noise. Defaults to 0.

    Raises:
        ValueError: ``fill`` does not have one level per channel.
    """
    out = img.copy()
    x, y, width, height = box
    part = out[y : y + height, x : x + width]
    if isinstance(fill, str):
        if fill == 'noise':
            noise = np.random.default_rng(seed).bytes(part.size)
            part[...] = np.frombuffer(noise, np.uint8).reshape(part.shape)
        else:
            part[...] = np.rint(img.mean((0, 1))).astype(img.dtype)
        return out
    channels = 1 if img.ndim == 2 else img.shape[2]
    levels = np.rint(np.ravel(fill))
    if len(levels) not in (1, channels):
        raise ValueError(f'fill {fill!r} has {len(levels)} levels, the image {channels} channels')
    part[...] = levels if part.ndim == 3 else levels[0]
    return out
