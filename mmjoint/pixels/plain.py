"""The pixel work by OpenCV and torch, for every kind of image and without numba.

Each function takes an image (H, W) or (H, W, C) and returns a new one, or the image itself if
nothing changes. Operations on colors take uint8 images, gray or BGR.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch.nn.functional import interpolate

# The weights of ITU-R 601-2 luma, as in torchvision and Pillow, in mmcv's channel order (BGR).
LUMA_BGR = (0.114, 0.587, 0.2989)


def resize(img: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Resize with antialiasing, as Pillow does.

    Args:
        img (np.ndarray): uint8 or float32, with any strides.
        size (tuple[int, int]): (width, height) of the result in pixels.
        interpolation (str): ``'bilinear'`` or ``'bicubic'``.
    """
    width, height = size
    if min(img.strides) < 0:  # torch does not accept negative strides
        img = np.ascontiguousarray(img)
    # A 1CHW view of the array that torch treats as channels_last: no copy in or out. If the batch
    # axis were added after the permutation, torch would treat it as NCHW and rearrange it.
    planes = torch.from_numpy(np.atleast_3d(img))[None].permute(0, 3, 1, 2)
    out = interpolate(
        planes, (height, width), mode=interpolation, align_corners=False, antialias=True
    )
    return np.ascontiguousarray(out[0].permute(1, 2, 0).numpy()).reshape(
        (height, width) + img.shape[2:]
    )


def blur(img: np.ndarray, sigma: float) -> np.ndarray:
    """Blur with a Gaussian cut off at four ``sigma`` (in pixels); the border is mirrored."""
    kernel = cv2.getGaussianKernel(2 * math.ceil(4 * sigma) + 1, sigma, cv2.CV_32F)
    return cv2.sepFilter2D(img, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)


def brightness(img: np.ndarray, factor: float) -> np.ndarray:
    """Multiply by ``factor``."""
    return _affine(img, factor, 0.0, 0.0)


def contrast(img: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the mean of the gray image: ``factor * img + (1 - factor) * mean``."""
    means = cv2.mean(img)
    mean = float(np.dot(means[:3], LUMA_BGR)) if _channels(img) == 3 else means[0]
    return _affine(img, factor, 0.0, (1 - factor) * mean)


def saturation(img: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the gray image: ``factor * img + (1 - factor) * gray``."""
    return _affine(img, factor, 1 - factor, 0.0) if _channels(img) == 3 else img


def hue(img: np.ndarray, shift: float) -> np.ndarray:
    """Turn the hue by ``shift`` turns, in HSV with 256 levels per channel, as Pillow does."""
    if _channels(img) != 3:
        return img
    hsv = cv2.cvtColor(img, cv2.COLOR_BGR2HSV_FULL)
    rows = hsv.reshape(len(hsv), -1)
    step = np.zeros(rows.shape[1], np.uint8)
    step[::3] = round(shift * 256) % 256
    rows += step  # adding to whole rows is faster; uint8 wraps around like the circle
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR_FULL)


def gray(img: np.ndarray, _: float) -> np.ndarray:
    """Replace the three colors by their luma."""
    return cv2.cvtColor(cv2.cvtColor(img, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def solarize(img: np.ndarray, threshold: float) -> np.ndarray:
    """Invert the levels of at least ``threshold``."""
    return np.where(img < threshold, img, 255 - img)


OPERATIONS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = dict(
    brightness=brightness,
    contrast=contrast,
    saturation=saturation,
    hue=hue,
    gray=gray,
    blur=blur,
    solarize=solarize,
)


def _channels(img: np.ndarray) -> int:
    return 1 if img.ndim == 2 else img.shape[2]


def _affine(img: np.ndarray, own: float, luma: float, offset: float) -> np.ndarray:
    """Compute ``own * pixel + luma * gray + offset``, cut to whole levels as in torchvision."""
    # OpenCV rounds to nearest; subtracting just under half a level turns that into truncation.
    shift = offset - 0.499
    if _channels(img) == 1:
        return cv2.transform(img, np.array([[own, shift]], np.float32)).reshape(img.shape)
    b, g, r = (luma * weight for weight in LUMA_BGR)
    matrix = [[own + b, g, r, shift], [b, own + g, r, shift], [b, g, own + r, shift]]
    return cv2.transform(img, np.array(matrix, np.float32))
