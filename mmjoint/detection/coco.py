"""Reads COCO annotation files in their one meaning, or refuses them.

The result has COCO's form, without what causes trouble in other programs: ids are numbers,
annotations are numbered from 1, ``area`` and ``iscrowd`` are always there, and masks are polygons
of at least three points or RLE of the right size. All engines and the metric use this result, so
they see the same objects.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .findings import Findings, shorten
from .masks import check_masks

# A narrower box has no area in the 32-bit arithmetic of detectors.
MIN_SIDE = 0.01
_NUMBERS = (int, float)
_LIMIT = 1e7
_PARTS = ('images', 'annotations', 'categories')


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
            were text, ``source_id`` holds it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a COCO annotation file.
    """
    content = _load(path)
    images = _read_images(content['images'], Path(image_folder).absolute(), path, findings)
    categories = _read_categories(content['categories'], path, findings)
    annotations = _read_annotations(
        content['annotations'], images, categories, path, findings, masks, classes
    )
    kept = [item for item in categories if classes is None or item['name'] in classes]
    return dict(images=list(images.values()), annotations=annotations, categories=kept)


def _load(path: str | Path) -> dict:
    try:
        content = json.loads(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{path}: no such annotation file') from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}: not a whole COCO annotation file ({error})') from error
    if not isinstance(content, dict):
        raise ValueError(
            f'{path}: not a whole COCO annotation file (a {type(content).__name__}; expected an '
            f'object with {", ".join(_PARTS)})'
        )
    for part in _PARTS:
        if not isinstance(content.get(part), list):
            found = 'no' if part not in content else f'a {type(content[part]).__name__} as'
            raise ValueError(
                f'{path}: not a whole COCO annotation file ({found} {part!r}; expected a list)'
            )
    if not content['images']:
        raise ValueError(f'{path}: has no image')
    if not content['categories']:
        raise ValueError(f'{path}: has no category')
    return content


def _id(value: object) -> int | str | None:
    """Return an id in a form that can be compared; None if it is not an id."""
    if type(value) is int or (type(value) is str and value):
        return value
    return int(value) if type(value) is float and value.is_integer() else None


def _side(value: object) -> int | None:
    """Return a width or height in whole pixels; None if it is neither."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 < value < _LIMIT else None


def _read_images(items: list, folder: Path, path: str | Path, findings: Findings) -> dict:
    """Return the images by the ids that annotations use."""
    images: dict[int | str, dict] = {}
    names: dict[str, int | str] = {}
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            findings.fault(path, f'images[{index}]', f'{shorten(item)} is not an object')
            continue
        key, name = _id(item.get('id')), item.get('file_name')
        if key is None:
            findings.fault(
                path,
                f'images[{index}]',
                f'id {shorten(item.get("id"))}: expected a whole number',
            )
            continue
        where = f'image {shorten(key)}'
        if not isinstance(name, str) or not name.strip() or '\0' in name:
            findings.fault(path, where, f'file_name {shorten(name)}: expected the name of a photo')
            continue
        sides = [_side(item.get(side)) for side in ('width', 'height')]
        for side, value in zip(('width', 'height'), sides, strict=True):
            if value is None:
                findings.fault(
                    path, where, f'{side} {shorten(item.get(side))}: expected a number of pixels'
                )
        photo = str(folder / name)
        image = dict[str, Any](id=key, file_name=photo, width=sides[0] or 1, height=sides[1] or 1)
        if key in images:
            if images[key] != image:
                findings.fault(
                    path,
                    where,
                    f'id of two images ({Path(images[key]["file_name"]).name} and {name})',
                )
            else:
                findings.leave_out(path, 'images that are listed twice', where)
            continue
        if photo in names:
            findings.fault(
                path, where, f'file_name {name!r}: image {shorten(names[photo])} has it too'
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
        key = _id(item.get('id')) if isinstance(item, dict) else None
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


def _read_annotations(
    items: list,
    images: dict,
    categories: list[dict],
    path: str | Path,
    findings: Findings,
    masks: bool | None,
    classes: Sequence[str] | None,
) -> list[dict]:
    numbers = {item.get('source_id', item['id']): item['id'] for item in categories}
    asked_for = {item['id'] for item in categories if classes is None or item['name'] in classes}
    reader = _AnnotationReader(path, images, numbers, findings)
    read, places = [], []
    for index, item in enumerate(items):
        where = reader.where(index, item)
        annotation = reader.read(item, where)
        if annotation is None:
            continue
        if annotation['category_id'] not in asked_for:
            findings.leave_out(path, 'objects of classes that were not asked for', where)
            continue
        if masks is not False:
            annotation['segmentation'] = item.get('segmentation')
        read.append(annotation)
        places.append(where)
    if masks is not False:
        sizes = {image['id']: (image['height'], image['width']) for image in images.values()}
        read = check_masks(read, places, sizes, path, findings, required=bool(masks))
    for number, annotation in enumerate(read, start=1):
        annotation['id'] = number
    reader.tell(read)
    return read


class _AnnotationReader:
    """Reads all fields of an annotation except its mask."""

    def __init__(
        self, path: str | Path, images: dict, categories: dict, findings: Findings
    ) -> None:
        self.path, self.images, self.categories = path, images, categories
        self.findings = findings
        self.text_ids = any(type(key) is str for key in images)
        self.ids: Counter = Counter()
        self.beyond = self.crowds = self.number = self.fractions = 0

    def where(self, index: int, item: object) -> str:
        """Return the name of an annotation in messages."""
        number = item.get('id') if isinstance(item, dict) else None
        if type(number) is int:
            self.ids[number] += 1
            return (
                f'annotation {number}' if abs(number) < 10**18 else f'annotation {shorten(number)}'
            )
        if type(number) is str:
            self.ids[number] += 1
            return f'annotation {shorten(number)}'
        return f'annotations[{index}]'

    def read(self, item: object, where: str) -> dict | None:
        """Return an annotation, or None if it has a fault or is left out."""

        def fault(what: str) -> dict | None:
            self.findings.fault(self.path, where, what)
            return None

        if not isinstance(item, dict):
            return fault(f'{shorten(item)} is not an object')
        key = _id(item.get('image_id'))
        image = self.images.get(key)
        if image is None:
            if key is None or (type(key) is str) != self.text_ids:
                kind = 'text' if self.text_ids else 'a whole number'
                return fault(
                    f'image_id {shorten(item.get("image_id"))}: expected {kind}, as the ids of '
                    'images are'
                )
            self.findings.leave_out(
                self.path,
                'annotations of images that the file does not list',
                f'{where}, image_id {shorten(key)}',
            )
            return None
        category = self.categories.get(_id(item.get('category_id')))
        if category is None:
            return fault(
                f'category_id {shorten(item.get("category_id"))}: not an id of the categories '
                f'({shorten(list(self.categories))[1:-1]})'
            )
        box = item.get('bbox')
        if type(box) is not list or len(box) != 4:
            return fault(f'bbox {shorten(box)}: expected four numbers, x, y, width and height')
        for value in box:
            if type(value) not in _NUMBERS or not -_LIMIT < value < _LIMIT:
                return fault(f'bbox {shorten(box)}: {shorten(value)} is not a number of pixels')
        x, y, w, h = box
        if w < 0 or h < 0:
            side = 'width' if w < 0 else 'height'
            return fault(
                f'bbox {shorten(box)}: its {side} is negative; expected x, y, width, height'
            )
        width, height = image['width'], image['height']
        if x >= width or y >= height or x + w < 0 or y + h < 0:
            return fault(
                f'bbox {shorten(box)}: lies outside its image of {width} x {height} pixels'
            )
        if w < MIN_SIDE or h < MIN_SIDE:
            self.findings.leave_out(self.path, 'boxes without area', f'{where}, bbox {box}')
            return None
        crowd = item.get('iscrowd')
        if crowd is not None and crowd not in (0, 1):
            return fault(f'iscrowd {shorten(crowd)}: expected 0 or 1')
        area: Any = item.get('area')
        if type(area) not in _NUMBERS or not 0 < area < _LIMIT**2:
            area = w * h
        self.number += 1
        self.crowds += bool(crowd)
        self.beyond += x < -1 or y < -1 or x + w > width + 1 or y + h > height + 1
        self.fractions += x + w <= 1 and y + h <= 1
        return dict(
            id=0,
            image_id=image['id'],
            category_id=category,
            bbox=box,
            area=area,
            iscrowd=int(bool(crowd)),
        )

    def tell(self, read: list[dict]) -> None:
        """Report what a person may want to know about all annotations together."""
        if self.number and self.fractions == self.number:
            self.findings.fault(
                self.path, 'bbox', 'all lie between 0 and 1: expected pixels, not fractions'
            )
        remarks = {
            f'{sum(count - 1 for count in self.ids.values())} annotations have the id of another; '
            'all are numbered anew': sum(count > 1 for count in self.ids.values()),
            f'{self.crowds} crowds: not trained on, ignored by the metric': self.crowds,
            f'{self.beyond} boxes reach more than a pixel beyond their image; the metric takes '
            'them as they are, training the part within': self.beyond,
        }
        for text, count in remarks.items():
            if count:
                self.findings.remark(f'{self.path}: {text}')
