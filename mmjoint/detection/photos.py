"""The photos of a data set: that they are there, and have the size that their annotation says."""

import contextlib
import hashlib
import json
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from ..pixels.decode import read_image, read_size
from ..utils.errors import describe
from ..utils.files import write_output
from .findings import Findings

SUFFIXES = frozenset(('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif', '.ppm'))
# Fewer headers are read faster than a cache is worth.
_WORTH_A_CACHE = 2000


def listing(directory: Path, hint: str = '') -> frozenset[str]:
    """Return the names in a folder.

    One listing is quick where a hundred thousand single looks over a network are not.

    Args:
        directory (Path): The folder.
        hint (str): What may be wrong, for the message.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    try:
        return frozenset(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f'{directory}: no such folder {hint}'.rstrip()) from error


def is_photo(name: str) -> bool:
    """Tell by its ending whether a file is a photo."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def photos_by_stem(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the photos among file names by what stands before their ending, in order."""
    photos: dict[str, list[str]] = {}
    for name in sorted(names):
        if is_photo(name):
            photos.setdefault(os.path.splitext(name)[0], []).append(name)
    return photos


def load_photo(path: str | Path) -> Image.Image:
    """Decode a photo to RGB, turned as EXIF says.

    Args:
        path (str | Path): The photo.

    Raises:
        OSError: There is no such file, or it is damaged; the message names it.
    """
    return Image.fromarray(read_image(path)[..., ::-1])


def check_photos(
    coco: dict,
    source: str | Path,
    findings: Findings,
    hint: str = '',
    every_pixel: bool = False,
) -> None:
    """Check that every photo is there and has the size that its annotation says.

    Args:
        coco (dict): Its images get ``width`` and ``height`` from the photo where they have none.
        source (str | Path): The annotation file, for messages; an image's ``annotated_in`` comes
            first.
        findings (Findings): Gets the faults; the caller ends the run.
        hint (str): What may be wrong where a photo is missing.
        every_pixel (bool): Whether to decode the photos, rather than to read their headers.
            Defaults to False.
    """
    sizes = _Sizes(source if len(coco['images']) >= _WORTH_A_CACHE else None)
    for image in coco['images']:
        path = image['file_name']
        file = image.get('annotated_in', source)
        where = f'image {image.get("source_id", image["id"])}'
        if 'annotated_in' in image:
            where = 'photo'
        try:
            path = image['file_name'] = _spelled(path)
            width, height = load_photo(path).size if every_pixel else sizes.read(path)
        except FileNotFoundError:
            findings.fault(file, where, f'file_name: no such file {path} {hint}'.rstrip())
            continue
        except Exception as error:  # Pillow's readers raise any type
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
    """Sizes of photos, kept from run to run in the user's cache folder for large sets.

    A photo that has another length or time than when it was read is read again.

    Args:
        source (str | Path, optional): The annotation file; None for no cache.
    """

    def __init__(self, source: str | Path | None) -> None:
        self._path, self._known, self._new = None, {}, False
        if source is None:
            return
        folder = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache', 'mmjoint/photos')
        name = hashlib.sha256(str(Path(source).absolute()).encode()).hexdigest()[:32]
        self._path = folder / f'{name}.json'
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self._path.read_bytes())
            if isinstance(known, dict) and all(
                isinstance(entry, list) and [*map(type, entry)] == [int] * 4
                for entry in known.values()
            ):
                self._known = known

    def read(self, path: str) -> tuple[int, int]:
        """Return width and height; see ``read_size``."""
        if self._path is None:
            return read_size(path)
        status = os.stat(path)
        key = [status.st_size, status.st_mtime_ns]
        entry = self._known.get(path)
        if entry is None or entry[:2] != key:
            self._new = True
            entry = self._known[path] = [*key, *read_size(path)]
        return entry[2], entry[3]

    def save(self) -> None:
        """Write what was read; where that cannot be done, the next run reads again."""
        if self._new and self._path is not None:
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_output(self._path, json.dumps(self._known))


def _spelled(path: str) -> str:
    """Return a path as the disk spells it: other slashes, letters composed or decomposed."""
    if os.path.exists(path):
        return path
    slashes = path.replace('\\', '/')
    spellings = [slashes, *(unicodedata.normalize(form, slashes) for form in ('NFC', 'NFD'))]
    return next((other for other in spellings if os.path.exists(other)), path)
