"""Checks that the photos of a data set exist and have the sizes that the annotations state."""

import contextlib
import hashlib
import json
import os
import time
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from ..pixels.decode import MAX_PIXELS, read_image, read_size
from ..utils.errors import describe
from ..utils.files import write_output
from .cache import cache_folder
from .findings import Findings

SUFFIXES = frozenset(('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif', '.ppm'))
# For fewer photos reading the headers is faster than using a cache.
_WORTH_A_CACHE = 2000
# Nanoseconds after which a change of a file certainly changes its time too.
_SETTLED = 2_000_000_000


def listing(directory: Path, hint: str = '') -> frozenset[str]:
    """Return the names in a folder.

    One listing is fast, whereas a hundred thousand single look-ups over a network are not.

    Args:
        directory (Path): The folder.
        hint (str): A possible cause, for the message.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    try:
        return frozenset(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f'{directory}: no such folder {hint}'.rstrip()) from error


def is_photo(name: str) -> bool:
    """Tell whether a file is a photo, by its extension."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def photos_by_stem(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the photos among file names, in order, by their names without extension."""
    photos: dict[str, list[str]] = {}
    for name in sorted(names):
        if is_photo(name):
            photos.setdefault(os.path.splitext(name)[0], []).append(name)
    return photos


def load_photo(path: str | Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a photo to RGB, oriented as EXIF says.

    Args:
        path (str | Path): The photo.
        max_pixels (int): Width times height above which it is refused.

    Raises:
        OSError: There is no such file, it is damaged or too large; the message names it.
    """
    return Image.fromarray(read_image(path, max_pixels)[..., ::-1])


def check_photos(
    coco: dict,
    source: str | Path,
    findings: Findings,
    hint: str = '',
    every_pixel: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Check that every photo exists and has the size that its annotation states.

    Args:
        coco (dict): The data set; images without ``width`` and ``height`` get them from the photo.
        source (str | Path): The annotation file, for messages; an image's ``annotated_in`` takes
            precedence.
        findings (Findings): Receives the faults; the caller ends the run.
        hint (str): A possible cause of a missing photo, for messages.
        every_pixel (bool): Whether to decode the photos instead of reading only their headers.
            Defaults to False.
        max_pixels (int): Width times height above which a photo is refused.
    """
    sizes = _Sizes(source if len(coco['images']) >= _WORTH_A_CACHE else None, max_pixels)
    for image in coco['images']:
        path = image['file_name']
        file = image.get('annotated_in', source)
        where = f'image {image.get("source_id", image["id"])}'
        if 'annotated_in' in image:
            where = 'photo'
        try:
            path = image['file_name'] = _spelled(path)
            width, height = load_photo(path, max_pixels).size if every_pixel else sizes.read(path)
        except FileNotFoundError:
            findings.fault(file, where, f'file_name: no such file {path} {hint}'.rstrip())
            continue
        except Exception as error:  # Pillow's readers raise errors of any type
            named = '' if str(path) in str(error) else f'{path}: '
            findings.fault(file, where, named + describe(error))
            continue
        said = (image.setdefault('width', width), image.setdefault('height', height))
        if said != (width, height):
            turned = ' (as EXIF turns it)' if said == (height, width) else ''
            findings.fault(
                file,
                where,
                f'width and height {said[0]} x {said[1]}: the photo {path} has {width} x {height}'
                f'{turned}',
            )
    sizes.save()


class _Sizes:
    """Sizes of photos, cached between runs in the user's cache folder for large sets.

    A photo whose length, time, or time of its last change on this disk differs from what it was is
    read again. Programs can set the first time, but not the second.

    Args:
        source (str | Path, optional): The annotation file; None for no cache.
        max_pixels (int): As documented in ``read_size``.
    """

    def __init__(self, source: str | Path | None, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._path, self._known, self._new = None, {}, False
        if source is None:
            return
        name = hashlib.sha256(os.fsencode(Path(source).absolute())).hexdigest()[:32]
        self._path = cache_folder('photos') / f'{name}.json'
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self._path.read_bytes())
            if isinstance(known, dict) and all(
                isinstance(entry, list) and [*map(type, entry)] == [int] * 5
                for entry in known.values()
            ):
                self._known = known

    def read(self, path: str) -> tuple[int, int]:
        """Return width and height, as documented in ``read_size``."""
        if self._path is None:
            return read_size(path, self._max_pixels)
        status = os.stat(path)
        key = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        entry = self._known.get(path)
        if entry is None or entry[:3] != key or entry[3] * entry[4] > self._max_pixels:
            entry = [*key, *read_size(path, self._max_pixels)]
            if abs(time.time_ns() - status.st_ctime_ns) > _SETTLED:
                self._new, self._known[path] = True, entry
        return entry[3], entry[4]

    def save(self) -> None:
        """Write the sizes to the cache; if that fails, the next run reads the photos again."""
        if self._new and self._path is not None:
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_output(self._path, json.dumps(self._known))


def _spelled(path: str) -> str:
    """Return a path as the disk spells it: other slashes, or letters composed differently."""
    if os.path.exists(path):
        return path
    slashes = path.replace('\\', '/')
    spellings = [slashes, *(unicodedata.normalize(form, slashes) for form in ('NFC', 'NFD'))]
    return next((other for other in spellings if os.path.exists(other)), path)
