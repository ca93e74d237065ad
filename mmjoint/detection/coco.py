"""Reads COCO annotation files in their one meaning, or refuses them.

The result has COCO's form, without what causes trouble in other programs: ids are numbers,
annotations are numbered from 1, ``area`` and ``iscrowd`` are always there, and masks are polygons
of at least three points or RLE of the right size. All engines and the metric use this result, so
they see the same objects.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

from .annotations import MAX_COORDINATE, as_id, read_annotations
from .cache import CheckedAnnotations
from .findings import Findings, shorten
from .parsing import Items, parse_json

_PARTS = ('images', 'annotations', 'categories')
# Matches names that a Path changes, such as absolute ones; all others are appended as they are.
_ODD_NAME = re.compile(r'^[./]|//|/\.|/$')


def read_coco(root: str | Path, split: str, masks: bool | None = None) -> dict:
    """Read an annotation file from COCO's folder layout; see ``read_coco_file``.

    Args:
        root (str | Path): Folder that holds ``annotations/instances_{split}.json`` and the images
            in ``{split}``.
        split (str): The split, such as ``'train2017'``.
        masks (bool, optional): As documented in ``read_coco_file``.

    Returns:
        dict: ``images``, ``annotations`` and ``categories``.

    Raises:
        FileNotFoundError, ValueError: As documented in ``read_coco_file``.
    """
    findings = Findings()
    path = Path(root) / 'annotations' / f'instances_{split}.json'
    coco = read_coco_file(path, Path(root) / split, findings, masks)
    findings.end()
    return coco


def read_coco_file(
    path: str | Path,
    image_folder: str | Path,
    findings: Findings,
    masks: bool | None = None,
    classes: Sequence[str] | None = None,
) -> dict:
    """Read a COCO annotation file.

    Annotation ids are only names: if they start at 0, repeat, are missing or are text, they are
    numbered anew. Ids of images and categories are whole numbers, or text throughout, which is
    replaced by numbers. A missing ``area`` is width times height, a missing ``iscrowd`` is 0.
    Annotations of images that the file does not list, boxes and masks without area, and classes
    that were not requested are counted and left out of both training and metric.

    What is read from a large file is kept in the user's cache folder, for the next time that a file
    of the same content is read.

    Args:
        path (str | Path): The JSON file, in UTF-8 with or without a byte-order mark.
        image_folder (str | Path): Folder to which each ``file_name`` is relative; names may
            contain subfolders.
        findings (Findings): Receives the faults; the caller ends the run.
        masks (bool, optional): Whether every object must have a mask. If False, ``segmentation``
            is ignored. Defaults to None: it is checked where it exists.
        classes (Sequence[str], optional): The classes to keep. Defaults to None, all.

    Returns:
        dict: ``images`` (with absolute ``file_name``), ``annotations`` and ``categories``. If ids
            were text, ``source_id`` holds it. Polygons are arrays of float64.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a COCO annotation file.
    """
    folder = Path(image_folder).absolute()
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{path}: no such annotation file') from error
    chosen = None if classes is None else list(classes)
    known = CheckedAnnotations(content, str(path), str(folder), masks, chosen)
    coco = known.read(findings)
    if coco is None:
        found = Findings()
        coco = _read(content, path, folder, found, masks, classes)
        known.write(coco, found)
        findings.add(found.state())
        coco['annotations'] = coco['annotations'].items()
    return coco


def _read(
    content: bytes,
    path: str | Path,
    folder: Path,
    findings: Findings,
    masks: bool | None,
    classes: Sequence[str] | None,
) -> dict:
    parts = _parse(content, path)
    images = _read_images(parts['images'], folder, path, findings)
    categories = _read_categories(parts['categories'], path, findings)
    annotations = read_annotations(
        parts['annotations'], images, categories, path, findings, masks, classes
    )
    kept = [item for item in categories if classes is None or item['name'] in classes]
    return dict(images=list(images.values()), annotations=annotations, categories=kept)


def _parse(data: bytes, path: str | Path) -> dict:
    try:
        content = parse_json(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}: not a whole COCO annotation file ({error})') from error
    if not isinstance(content, dict):
        raise ValueError(
            f'{path}: not a whole COCO annotation file (a {type(content).__name__}; expected an '
            f'object with {", ".join(_PARTS)})'
        )
    for part in _PARTS:
        if not isinstance(content.get(part), list | Items):
            found = 'no' if part not in content else f'a {type(content[part]).__name__} as'
            raise ValueError(
                f'{path}: not a whole COCO annotation file ({found} {part!r}; expected a list)'
            )
    if not content['images']:
        raise ValueError(f'{path}: has no image')
    if not content['categories']:
        raise ValueError(f'{path}: has no category')
    return content


def _side(value: object) -> int | None:
    """Return a width or height in whole pixels; None if it is neither."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 < value < MAX_COORDINATE else None


def _is_name(name: object) -> TypeGuard[str]:
    return isinstance(name, str) and bool(name) and not name.isspace() and '\0' not in name


def _read_images(items: list, folder: Path, path: str | Path, findings: Findings) -> dict:
    """Return the images by the ids that annotations use."""
    images: dict[int | str, dict] = {}
    names: dict[str, int | str] = {}
    below = str(folder / '_')[:-1]
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            findings.fault(path, f'images[{index}]', f'{shorten(item)} is not an object')
            continue
        key, name = as_id(item.get('id')), item.get('file_name')
        if key is None:
            findings.fault(
                path,
                f'images[{index}]',
                f'id {shorten(item.get("id"))}: expected a whole number',
            )
            continue
        width, height = _side(item.get('width')), _side(item.get('height'))
        if not _is_name(name):
            findings.fault(
                path,
                f'image {shorten(key)}',
                f'file_name {shorten(name)}: expected the name of a photo',
            )
            continue
        for side, value in (('width', width), ('height', height)):
            if value is None:
                findings.fault(
                    path,
                    f'image {shorten(key)}',
                    f'{side} {shorten(item.get(side))}: expected a number of pixels',
                )
        photo = str(folder / name) if _ODD_NAME.search(name) else below + name
        image = {'id': key, 'file_name': photo, 'width': width or 1, 'height': height or 1}
        if key in images:
            if images[key] != image:
                findings.fault(
                    path,
                    f'image {shorten(key)}',
                    f'id of two images ({Path(images[key]["file_name"]).name} and {name})',
                )
            else:
                findings.leave_out(path, 'images that are listed twice', f'image {shorten(key)}')
            continue
        if photo in names:
            findings.fault(
                path,
                f'image {shorten(key)}',
                f'file_name {name!r}: image {shorten(names[photo])} has it too',
            )
        names[photo] = key
        images[key] = image
    _number_anew(images, path, 'images', findings)
    return images


def _number_anew(items: dict, path: str | Path, part: str, findings: Findings) -> None:
    """Replace ids that the metric cannot use by 1, 2, ...; ids of two types are a fault."""
    kinds = {type(key) for key in items}
    if len(kinds) > 1:
        text = next(key for key in items if type(key) is str)
        number = next(key for key in items if type(key) is int)
        findings.fault(
            path, part, f'have the id {text!r}, which is text, and {number}, which is a number'
        )
    if str in kinds or any(abs(key) > 2**53 for key in items):
        for number, item in enumerate(items.values(), start=1):
            item['source_id'], item['id'] = item['id'], number


def _read_categories(items: list, path: str | Path, findings: Findings) -> list[dict]:
    categories: dict[int | str, dict] = {}
    names: dict[str, int | str] = {}
    for index, item in enumerate(items):
        key = as_id(item.get('id')) if isinstance(item, dict) else None
        if key is None:
            findings.fault(
                path, f'categories[{index}]', f'{shorten(item)}: expected a whole number as id'
            )
            continue
        where, name = f'category {shorten(key)}', item.get('name')
        if not isinstance(name, str) or not name.strip():
            findings.fault(path, where, f'name {shorten(name)}: expected text')
        elif key in categories and categories[key]['name'] != name:
            findings.fault(
                path, where, f'id of two categories ({categories[key]["name"]!r} and {name!r})'
            )
        elif names.get(name, key) != key:
            findings.fault(
                path, where, f'name {name!r}: category {shorten(names[name])} has it too'
            )
        else:
            names[name] = key
            categories.setdefault(key, dict(id=key, name=name))
    _number_anew(categories, path, 'categories', findings)
    return list(categories.values())
