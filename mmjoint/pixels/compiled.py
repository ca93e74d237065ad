"""The pixel work of the views for uint8 BGR images, compiled by numba for the current CPU.

numba is optional (extra ``fast``). Where it is not installed, ``fits`` always returns False and the
transforms work through OpenCV and torch; the pixels of each operation agree within one level (hue:
within two steps of 8-bit HSV). The functions below return (H, W, 3) arrays whose memory consists of
three planes, one per channel.

The loops are in ``kernels``, which is imported when it is first used: importing numba takes time.
"""

import contextlib
import logging
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from mmengine.logging import print_log

# Whether the loops are used. Set it before the first view is made; tests change it.
ENABLED = find_spec('numba') is not None
# Largest color factor and largest sigma, in pixels, that the loops accept.
MAX_FACTOR, MAX_SIGMA = 16.0, 60.0
_prepared = False

_LIMITS = dict(
    brightness=MAX_FACTOR,
    contrast=MAX_FACTOR,
    saturation=MAX_FACTOR,
    hue=math.inf,
    gray=math.inf,
    blur=MAX_SIGMA,
    solarize=math.inf,
)


class Deferred:
    """A view that ``JointView`` has yet to draw: it holds the operations to do, not the result.

    One compiled call does all of them, where separate transforms would read and write the view once
    each. Transforms that have ``takes_deferred`` add to it; all other code gets ``array()``.

    Args:
        source (np.ndarray): The decoded image, (H, W, 3), uint8, C-contiguous. A crop must be the
            first operation.
    """

    __slots__ = ('box', 'cubic', 'mirrored', 'size', 'source', 'steps')
    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, source: np.ndarray) -> None:
        self.source = source
        self.box: tuple[int, int, int, int] | None = None
        self.steps: list[float] = []
        self.mirrored = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, 3) of the view that will be drawn."""
        height, width = self.source.shape[:2] if self.box is None else self.size[::-1]
        return (height, width, 3)

    def crop(
        self, box: tuple[int, int, int, int], size: tuple[int, int], interpolation: str
    ) -> bool:
        """Cut out ``box`` (x, y, width, height) and resize it to ``size`` (width, height), in
        pixels.

        Returns:
            bool: Whether the crop is recorded; False if the view has been cropped already, or if
                the image, the box or the result is too small for the loops.

        Raises:
            ValueError: The box is not inside the image.
        """
        if self.box is not None:
            return False
        x, y, columns, rows = box
        height, width = self.source.shape[:2]
        if x < 0 or y < 0 or x + columns > width or y + rows > height:
            raise ValueError(
                f'box {box} (x, y, width, height) is not in the {width}x{height} image'
            )
        if height < 32 or columns < 6 or size[0] < 32:
            return False
        self.box, self.size, self.cubic = box, size, interpolation == 'bicubic'
        return True

    def mirror(self) -> None:
        """Mirror the view left to right."""
        self.mirrored = not self.mirrored

    def do(self, operations: Iterable[tuple[str, float]]) -> bool:
        """Record operations as in ``apply``; False, recording none, if one is too large."""
        steps = _numbered(operations)
        if steps is None:
            return False
        self.steps += steps
        return True

    def array(self) -> np.ndarray:
        """Draw the view, (H, W, 3) in three planes; before the crop, return the image itself."""
        if self.box is None:
            return self.source
        (x, y, columns, rows), (width, height) = self.box, self.size
        planes = _loops().draw(
            self.source,
            x,
            y,
            columns,
            rows,
            width,
            height,
            self.cubic,
            self.mirrored,
            np.array(self.steps, np.float64),
        )
        return planes.transpose(1, 2, 0)


def can_defer(img: Any) -> bool:
    """Whether views of this image may be ``Deferred``."""
    return isinstance(img, np.ndarray) and fits(img) and img.flags.carray


def prepare() -> None:
    """Compile the loops, or load them from numba's cache, before the loader's workers start.

    If views are made without numba, the log says so.
    """
    global ENABLED, _prepared
    if _prepared:
        return
    _prepared = True
    missing = 'numba is not installed'
    if ENABLED:
        try:
            _loops()
        except Exception as error:  # an unknown NumPy, a CPU unknown to LLVM, ...
            told = ' '.join(str(error).split())
            ENABLED, missing = False, f'{type(error).__name__}: {told[:300]}'
        else:
            return
    print_log(
        f'views are made without compiled loops, which are quicker: {missing} '
        "(pip install 'mmjoint[fast]')",
        logger='current',
        level=logging.INFO,
    )


def fits(img: np.ndarray) -> bool:
    """Whether the functions below take this image: uint8 (H, W, 3), and the loops compile."""
    if not _prepared:
        prepare()
    return ENABLED and img.dtype == np.uint8 and img.ndim == 3 and img.shape[2] == 3


def planes(img: np.ndarray) -> np.ndarray:
    """Lay out the channels of an image as planes, unless they are planes already.

    Args:
        img (np.ndarray): (H, W, 3), uint8, with any strides.

    Returns:
        np.ndarray: (3, H, W), contiguous; it shares the image's memory where possible.
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


@cache
def _loops() -> ModuleType:
    """Import the compiled loops; if several processes start at once, the first compiles for all."""
    from . import kernels

    folder = _cache_folder(kernels)
    if folder is None:
        print_log(
            'the compiled loops cannot be kept, so that each run compiles them anew: there is no '
            'folder that numba may write to (the environment variable NUMBA_CACHE_DIR names one)',
            logger='current',
        )
    with _one_at_a_time(folder):
        if folder is not None:
            _drop_stale_cache(kernels, folder)
        steps = np.array(_numbered([('hue', 0.0)]), np.float64)
        img = np.zeros((32, 32, 3), np.uint8)
        kernels.apply(kernels.draw(img, 0, 0, 32, 32, 32, 32, False, False, steps), steps)
    return kernels


@contextmanager
def _one_at_a_time(folder: str | None) -> Iterator[None]:
    """Let one process at a time use a folder, where the system has file locks."""
    if folder is None:
        yield
        return
    try:
        import fcntl

        lock = open(Path(folder, 'mmjoint.lock'), 'a')  # noqa: SIM115 (closed below)
    except (ImportError, OSError):  # Windows; a read-only cache
        yield
        return
    with lock:  # closing it, or the end of the process, releases the lock
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _cache_folder(loops: Any) -> str | None:
    """Return where numba keeps what it compiles; None if there is no such folder."""
    return loops.draw.stats.cache_path


def _drop_stale_cache(loops: Any, folder: str) -> None:
    """Delete numba's index if any file of ``kernels`` is newer: numba compares only one file."""
    changed = max(file.stat().st_mtime for file in Path(loops.__file__).parent.glob('*.py'))
    for index in Path(folder).glob('*.nbi'):
        if index.stat().st_mtime < changed:
            with contextlib.suppress(OSError):  # the cache is read-only
                index.unlink(missing_ok=True)


@cache
def _numbers() -> dict[str, int]:
    from .kernels import NUMBERS

    return NUMBERS


def _numbered(operations: Iterable[tuple[str, float]]) -> list[float] | None:
    """Encode operations as the loops take them; None if a value is too large for them."""
    numbers = _numbers()
    steps: list[float] = []
    for name, value in operations:
        if value > _LIMITS[name]:
            return None
        steps += (numbers[name], value)
    return steps


def resize(
    img: np.ndarray, size: tuple[int, int], interpolation: str = 'bilinear'
) -> np.ndarray | None:
    """Resize with antialiasing, in Pillow's two passes.

    Args:
        img (np.ndarray): (H, W, 3), uint8, with any strides.
        size (tuple[int, int]): (width, height) of the result in pixels.
        interpolation (str): ``'bilinear'`` or ``'bicubic'``. Defaults to ``'bilinear'``.

    Returns:
        np.ndarray | None: A new image of shape (height, width, 3); None if either image is too
        small for the loops.
    """
    whole = Deferred(np.require(img, requirements=['C', 'W']))
    box = 0, 0, img.shape[1], img.shape[0]
    return whole.array() if whole.crop(box, size, interpolation) else None


def apply(img: np.ndarray, operations: Iterable[tuple[str, float]]) -> np.ndarray | None:
    """Apply operations one after the other; the result of each is cut to whole levels.

    Args:
        img (np.ndarray): (H, W, 3), uint8, BGR.
        operations (Iterable[tuple[str, float]]): ``'brightness'``, ``'contrast'`` or
            ``'saturation'`` with a factor up to ``MAX_FACTOR``; ``'hue'`` with a shift in turns;
            ``'blur'`` with a sigma in pixels, above 0 and up to ``MAX_SIGMA``; ``'solarize'`` with
            the lowest level that is inverted; ``'gray'`` with any number, which is ignored.

    Returns:
        np.ndarray | None: A new image; None if a value is too large for the loops.
    """
    steps = _numbered(operations)
    if steps is None:
        return None
    out = planes(img)
    if np.may_share_memory(out, img):
        out = out.copy()
    _loops().apply(out, np.array(steps, np.float64))
    return out.transpose(1, 2, 0)
