"""The photos of a data set: that they are there, and have the size that their annotation says."""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from ..pixels.decode import MAX_PIXELS, read_image
from ..utils.errors import describe
from .findings import Findings

SUFFIXES = frozenset(('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif', '.ppm'))
_ORIENTATION = 0x0112


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


def shown_size(path: str | Path) -> tuple[int, int]:
    """Return width and height of a photo as it is shown, turned as EXIF says; reads its header.

    Args:
        path (str | Path): The photo.

    Raises:
        OSError, ValueError: There is no such file, or it is no photo.
    """
    with Image.open(path) as photo:
        width, height = photo.size
        if width * height > MAX_PIXELS:
            raise ValueError(f'its header says {width} x {height}, more than {MAX_PIXELS} pixels')
        turned = photo.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


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
    for image in coco['images']:
        path = image['file_name']
        file = image.get('annotated_in', source)
        where = f'image {image.get("source_id", image["id"])}'
        if 'annotated_in' in image:
            where = 'photo'
        try:
            path = image['file_name'] = _spelled(path)
            width, height = load_photo(path).size if every_pixel else shown_size(path)
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


def _spelled(path: str) -> str:
    """Return a path as the disk spells it: other slashes, letters composed or decomposed."""
    if os.path.exists(path):
        return path
    slashes = path.replace('\\', '/')
    spellings = [slashes, *(unicodedata.normalize(form, slashes) for form in ('NFC', 'NFD'))]
    return next((other for other in spellings if os.path.exists(other)), path)
