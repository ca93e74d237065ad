"""Reads the annotations of a COCO file: all fields but the masks.

A large file has hundreds of thousands of annotations, nearly all without any peculiarity. They are
compared as arrays; only the others are read one by one, which finds out what is wrong with them.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .findings import Findings, shorten
from .masks import check_masks
from .packed import Annotations, Polygons
from .parsing import BOX, Columns, Items

# A narrower box has no area in the 32-bit arithmetic of detectors.
MIN_SIDE = 0.01
MAX_COORDINATE = 1e7
_NUMBERS = (int, float)
_NO_BOX = [float('nan')] * 4


def as_id(value: object) -> int | str | None:
    """Return an id in a form that can be compared; None if it is not an id."""
    if type(value) is int or (type(value) is str and value):
        return value
    return int(value) if type(value) is float and value.is_integer() else None


class _Read(NamedTuple):
    """The fields of an annotation; image and category are numbers of places in their lists."""

    image: int
    category: int
    box: list
    area: float
    crowd: bool


def read_annotations(
    items: Items,
    images: dict,
    categories: list[dict],
    path: str | Path,
    findings: Findings,
    masks: bool | None,
    classes: Sequence[str] | None,
) -> Annotations:
    """Read and check annotations.

    Args:
        items (Items): The annotations of the file.
        images (dict): The images by the ids that annotations use.
        categories (list[dict]): The categories; ``source_id`` is what annotations use, or ``id``.
        path (str | Path): The file, for messages.
        findings (Findings): Receives the faults and what is left out.
        masks (bool, optional): As documented in ``mmjoint.detection.coco.read_coco_file``.
        classes (Sequence[str], optional): The classes to keep; None for all.

    Returns:
        Annotations: They are numbered from 1.
    """
    numbers = [item.get('source_id', item['id']) for item in categories]
    reader = _Reader(path, images, numbers, findings)
    table = _Table(items, images, numbers)
    asked_for = np.array([classes is None or item['name'] in classes for item in categories])
    unasked = table.plain & ~asked_for[table.category]
    # What is reported is reported in the order of the file.
    odd = np.flatnonzero(~table.plain | _first(unasked))
    for index in odd.tolist():
        item = items[index]
        where = reader.where(index, item)
        if table.plain[index]:
            _leave_out_class(path, findings, where, int(unasked.sum()))
            continue
        annotation = reader.read(item, where)
        if annotation is not None:
            table.set(index, annotation)
            if not asked_for[annotation.category]:
                _leave_out_class(path, findings, where, 1)
    kept = np.flatnonzero(table.plain & asked_for[table.category])
    polygons, others = Polygons.of([[]] * len(kept)), []
    if masks is not False:
        image_sizes = np.array([(i['height'], i['width']) for i in images.values()], np.int64)
        checked = check_masks(
            items,
            kept,
            lambda index: reader.where(index, items[index]),
            image_sizes[table.image[kept]],
            path,
            findings,
            required=bool(masks),
        )
        kept, polygons, others = kept[checked.fine], checked.polygons, checked.others
    table.tell(path, findings)
    columns = table.columns(
        kept, [image['id'] for image in images.values()], [item['id'] for item in categories]
    )
    return Annotations(columns, polygons, others)


def _first(marks: np.ndarray) -> np.ndarray:
    """Return an array in which only the first mark is left."""
    first = np.zeros_like(marks)
    first[np.flatnonzero(marks)[:1]] = True
    return first


def _leave_out_class(path: str | Path, findings: Findings, where: str, count: int) -> None:
    findings.leave_out(path, 'objects of classes that were not asked for', where, count)


class _Fields(NamedTuple):
    """The fields of annotations as arrays, as they are in the file.

    Ids are only those that are numbers or text; places are -1 for what is not there, an area may be
    NaN, a crowd is -1 where it is neither 0 nor 1.
    """

    ids: list
    image: np.ndarray
    category: np.ndarray
    box: np.ndarray
    area: np.ndarray
    crowd: np.ndarray


class _Table:
    """The fields of all annotations as arrays; ``plain`` marks those without any peculiarity."""

    def __init__(self, items: Items, images: dict, categories: list) -> None:
        parsed = np.flatnonzero(items.row < 0)
        read = _fields([items.values[index] for index in parsed.tolist()], images, categories)
        self.ids = read.ids
        self.image, self.category = np.empty((2, len(items)), np.int64)
        self.box, self.area = np.empty((len(items), 4)), np.empty(len(items))
        self.crowd = np.empty(len(items), np.int8)
        self._fill(parsed, read)
        if items.columns is not None:
            read = _fields_of_columns(items.columns, images, categories)
            self.ids += read.ids
            self._fill(items.columns.places, read)
        # A row too many, for the annotations without an image (place -1).
        sizes = [(image['width'], image['height']) for image in images.values()]
        self._sizes = np.array([*sizes, (0, 0)], np.float64)
        x, y, w, h = self.box.T
        width, height = self._sizes[self.image].T
        with np.errstate(invalid='ignore', over='ignore'):
            fine = (self.area > 0) & (self.area < MAX_COORDINATE**2)
            self.area = np.where(fine, self.area, w * h)
            self.plain = (
                (self.image >= 0) & (self.category >= 0) & (self.crowd >= 0)
                & (np.abs(self.box) < MAX_COORDINATE).all(1) & (w >= MIN_SIDE) & (h >= MIN_SIDE)
                & (x < width) & (y < height) & (x + w >= 0) & (y + h >= 0)
            )  # fmt: skip

    def _fill(self, places: np.ndarray, read: _Fields) -> None:
        self.image[places], self.category[places] = read.image, read.category
        self.box[places], self.area[places], self.crowd[places] = read.box, read.area, read.crowd

    def set(self, index: int, read: _Read) -> None:
        """Fill in an annotation that was read by itself."""
        self.image[index], self.category[index] = read.image, read.category
        self.box[index], self.area[index], self.crowd[index] = read.box, read.area, read.crowd
        self.plain[index] = True

    def columns(self, rows: np.ndarray, images: list, categories: list) -> dict[str, np.ndarray]:
        """Return some annotations, numbered from 1, with the ids of images and categories."""
        return {
            'id': np.arange(1, len(rows) + 1),
            'image_id': np.array(images, np.int64)[self.image[rows]],
            'category_id': np.array(categories, np.int64)[self.category[rows]],
            'bbox': self.box[rows],
            'area': self.area[rows],
            'iscrowd': self.crowd[rows],
        }

    def tell(self, path: str | Path, findings: Findings) -> None:
        """Report what a person may want to know about all annotations together."""
        x, y, w, h = self.box[self.plain].T
        width, height = self._sizes[self.image[self.plain]].T
        if len(x) and ((x + w <= 1) & (y + h <= 1)).all():
            findings.fault(path, 'bbox', 'all lie between 0 and 1: expected pixels, not fractions')
        repeated = len(self.ids) - len({*self.ids})
        crowds = int(self.crowd[self.plain].sum())
        beyond = int(((x < -1) | (y < -1) | (x + w > width + 1) | (y + h > height + 1)).sum())
        remarks = {
            f'{repeated} annotations have the id of another; all are numbered anew': repeated,
            f'{crowds} crowds: not trained on, ignored by the metric': crowds,
            f'{beyond} boxes reach more than a pixel beyond their image; the metric takes them as '
            'they are, training the part within': beyond,
        }
        for text, count in remarks.items():
            if count:
                findings.remark(f'{path}: {text}')


def _fields(items: list, images: dict, categories: list) -> _Fields:
    """Return the fields of annotations that Python's parser read."""
    if not {*map(type, items)} <= {dict}:
        items = [item if isinstance(item, dict) else {} for item in items]
    crowds = [item.get('iscrowd') for item in items]
    areas = [item.get('area') for item in items]
    limit = MAX_COORDINATE**2
    return _Fields(
        [key for item in items if type(key := item.get('id')) in (int, str)],
        _places([item.get('image_id') for item in items], [*images]),
        _places([item.get('category_id') for item in items], categories),
        _boxes([item.get('bbox') for item in items]),
        np.array([a if type(a) in _NUMBERS and 0 < a < limit else 0 for a in areas], np.float64),
        np.array([0 if c is None or c == 0 else 1 if c == 1 else -1 for c in crowds], np.int8),
    )


def _fields_of_columns(columns: Columns, images: dict, categories: list) -> _Fields:
    """Return the fields of annotations that were taken out of the text."""
    ids, image_ids, category_ids, *_, areas, crowds = columns.fields.T
    return _Fields(
        ids[~np.isnan(ids)].astype(np.int64).tolist(),
        _places_of_numbers(image_ids, [*images]),
        _places_of_numbers(category_ids, categories),
        columns.fields[:, BOX : BOX + 4],
        areas,
        np.select([np.isnan(crowds) | (crowds == 0), crowds == 1], [0, 1], -1),
    )


def _places(keys: list, known: list) -> np.ndarray:
    """Return the places of ids in a list; -1 for what is not there or not plainly an id."""
    places = {key: place for place, key in enumerate(known)}
    return np.array(
        [places.get(key, -1) if type(key) in (int, str) else -1 for key in keys], np.int64
    )


def _places_of_numbers(keys: np.ndarray, known: list) -> np.ndarray:
    """Return the places of ids of up to 15 digits in a list; -1 for what is not there."""
    numbers = np.array([key if type(key) is int and abs(key) < 2**53 else np.nan for key in known])
    order = np.argsort(numbers)
    found = np.searchsorted(numbers, keys, sorter=order).clip(max=len(known) - 1)
    return np.where(numbers[order[found]] == keys, order[found], -1)


def _boxes(boxes: list) -> np.ndarray:
    """Return boxes as an array (N, 4), NaN for what is not four numbers of pixels."""
    if {*map(type, boxes)} <= {list} and {*map(len, boxes)} <= {4}:
        numbers = list(chain.from_iterable(boxes))
        if {*map(type, numbers)} <= {float}:
            return np.array(numbers, np.float64).reshape(-1, 4)
    fine = [
        box if type(box) is list and len(box) == 4 and all(map(_is_coordinate, box)) else _NO_BOX
        for box in boxes
    ]
    return np.array(fine, np.float64).reshape(-1, 4)


def _is_coordinate(value: object) -> bool:
    return type(value) in _NUMBERS and -MAX_COORDINATE < value < MAX_COORDINATE  # type: ignore


class _Reader:
    """Reads annotations one by one and says what is wrong with them."""

    def __init__(
        self, path: str | Path, images: dict, categories: list, findings: Findings
    ) -> None:
        self.path, self.images, self.findings = path, images, findings
        self.image_places = {key: place for place, key in enumerate(images)}
        self.category_places = {key: place for place, key in enumerate(categories)}
        self.text_ids = any(type(key) is str for key in images)

    def where(self, index: int, item: object) -> str:
        """Return the name of an annotation in messages."""
        number = item.get('id') if isinstance(item, dict) else None
        if type(number) is int and abs(number) < 10**18:
            return f'annotation {number}'
        if type(number) in (int, str):
            return f'annotation {shorten(number)}'
        return f'annotations[{index}]'

    def read(self, item: object, where: str) -> _Read | None:
        """Return an annotation, or None if it has a fault or is left out."""

        def fault(what: str) -> _Read | None:
            self.findings.fault(self.path, where, what)
            return None

        if not isinstance(item, dict):
            return fault(f'{shorten(item)} is not an object')
        key = as_id(item.get('image_id'))
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
        category = self.category_places.get(as_id(item.get('category_id')))
        if category is None:
            return fault(
                f'category_id {shorten(item.get("category_id"))}: not an id of the categories '
                f'({shorten(list(self.category_places))[1:-1]})'
            )
        box = item.get('bbox')
        if type(box) is not list or len(box) != 4:
            return fault(f'bbox {shorten(box)}: expected four numbers, x, y, width and height')
        for value in box:
            if not _is_coordinate(value):
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
        if type(area) not in _NUMBERS or not 0 < area < MAX_COORDINATE**2:
            area = w * h
        return _Read(self.image_places[key], category, box, area, bool(crowd))
