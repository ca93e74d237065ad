"""Small copies of photos, for runs on small views, which would spend their time decoding."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from ..pixels.decode import read_image
from ..pixels.operations import resize

JPEG_QUALITY = 95
CHUNK = 32


def make_small_copies(
    paths: list[str | Path],
    out: Path,
    count: int,
    short_side: int,
    seconds: float,
    threads: int = 2,
) -> tuple[int, list[str]]:
    """Write small JPEG copies of some of the photos, those drawn first, in the time given.

    Args:
        paths (list[str | Path]): The photos; the order in which they are taken is random, the same
            for the same number of them.
        out (Path): A folder that is there; it gets ``000000.jpg`` and so on.
        count (int): Most copies to make.
        short_side (int): Of the copies, in pixels; smaller photos keep their size.
        seconds (float): After which no further photo is begun, once there are two copies.
        threads (int): That decode at the same time. Defaults to 2.

    Returns:
        tuple[int, list[str]]: The number of copies, and what is wrong with those photos that could
        not be read.

    Raises:
        ValueError: Fewer than two of the photos can be read; the message names the first fault.
        OSError: The folder cannot be written to.
    """
    end = time.monotonic() + seconds
    order = np.random.default_rng(0).permutation(len(paths))
    num, faults = 0, []
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(order), CHUNK):
            if num >= count or (num > 1 and time.monotonic() > end):
                break
            chosen = [paths[i] for i in order[start : start + CHUNK]]
            for copy in pool.map(lambda path: _small(path, short_side), chosen):
                if isinstance(copy, str):
                    faults.append(copy)
                elif num < count:
                    (out / f'{num:06d}.jpg').write_bytes(copy)
                    num += 1
    if num < 2:
        raise ValueError(
            f'{num} of {len(paths)} photos can be read, at least 2 are needed'
            + ''.join(f'; {fault}' for fault in faults[:1])
        )
    return num, faults


def _small(path: str | Path, short_side: int) -> bytes | str:
    """Return a small copy's file, or what is wrong with the photo."""
    try:
        image = read_image(path)
    except OSError as error:
        return str(error)
    height, width = image.shape[:2]
    factor = min(1, short_side / min(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if size != (width, height):
        image = resize(image, size)
    return cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
