"""Masks in COCO's form, polygons and RLE: checks that they have one meaning, and their pixels.

pycocotools trusts its input: a list of four numbers becomes a box, a truncated run-length code is
read beyond its end, a distant vertex allocates gigabytes. Masks are therefore checked first.
"""

from array import array
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as rle

from .findings import Findings, shorten
from .packed import Polygons
from .parsing import Items

_CHUNK = 20000
_NUMBERS = {int, float}
_EMPTY = 'masks without area'
_LINES = 'polygons of fewer than three points, next to others of their object'


def decode_mask(annotation: dict, height: int, width: int) -> np.ndarray:
    """Return the mask of an annotation with polygons or RLE, as an array (H, W) of 0 and 1."""
    shape = annotation['segmentation']
    if isinstance(shape, list):
        shape = rle.merge(rle.frPyObjects(shape, height, width))
    elif isinstance(shape['counts'], list):
        shape = rle.frPyObjects(shape, height, width)
    return rle.decode(shape)


class Checked(NamedTuple):
    """Masks after a check.

    Args:
        fine (np.ndarray): Whether a mask has no fault and has pixels, or needs not exist; bool.
        polygons (Polygons): Of the annotations that are fine, at least three points each.
        others (list[tuple[int, dict]]): RLE, with the number of the annotation among these.
    """

    fine: np.ndarray
    polygons: Polygons
    others: list[tuple[int, dict]]


def check_masks(
    items: Items,
    kept: np.ndarray,
    where: Callable[[int], str],
    sizes: np.ndarray,
    path: str | Path,
    findings: Findings,
    required: bool,
) -> Checked:
    """Check the masks of annotations.

    A flat polygon is a list of one. Polygons of one or two points are removed if there are others.

    Args:
        items (Items): The annotations of the file.
        kept (np.ndarray): The places of those that are to be checked, in ascending order.
        where (Callable[[int], str]): Returns the name of an annotation in messages by its place.
        sizes (np.ndarray): Height and width of the image of each annotation that is checked.
        path (str | Path): The annotation file, for messages.
        findings (Findings): Receives the faults and what is left out.
        required (bool): Whether an annotation without a mask is a fault.

    Returns:
        Checked: The masks, without those with a fault or without a pixel.
    """
    fine = np.ones(len(kept), bool)
    polygons = _taken_from_text(items, kept)
    lists: list[tuple[int, list]] = []
    others: list[tuple[int, dict]] = []

    def fault(number: int, what: str) -> None:
        findings.fault(path, where(kept[number]), f'segmentation{what}')
        fine[number] = False

    for number in np.flatnonzero(polygons.counts == 0).tolist():
        place = kept[number]
        shape = items.values[place].get('segmentation') if items.row[place] < 0 else None
        if type(shape) is list and shape and all(map(_is_polygon, shape)):
            lists.append((number, shape))
        elif shape is None or shape == []:
            if required:
                fault(number, ': missing (--task bbox needs no masks)')
        elif isinstance(shape, list):
            try:
                in_order = _polygons(shape)
            except ValueError as error:
                fault(number, f' {error}')
                continue
            if len(in_order) < len(shape) and type(shape[0]) is list:
                findings.leave_out(path, _LINES, where(place))
            lists.append((number, in_order))
        else:
            try:
                if _runs(shape, *sizes[number].tolist()).any():
                    others.append((number, shape))
                    continue
                findings.leave_out(path, _EMPTY, where(place))
                fine[number] = False
            except ValueError as error:
                fault(number, f' {error}')
    polygons = polygons.fill(*_as_arrays(lists, fault))
    for start, chunk in polygons.chunks(_CHUNK):
        chunk_sizes = sizes[start : start + len(chunk.counts)]
        far, certain = _measure(chunk, chunk_sizes)
        for number, vertex in far:
            fault(start + number, vertex)
        shapes = None
        for number in np.flatnonzero((chunk.counts > 0) & ~certain).tolist():
            shapes = shapes or chunk.lists()
            size = chunk_sizes[number].tolist()
            if fine[start + number] and not rle.area(
                rle.merge(rle.frPyObjects(shapes[number], *size))
            ):
                findings.leave_out(path, _EMPTY, where(kept[start + number]))
                fine[start + number] = False
    numbers = np.cumsum(fine) - 1
    return Checked(fine, polygons.take(fine), [(int(numbers[n]), shape) for n, shape in others])


def _is_polygon(polygon: Any) -> bool:
    return type(polygon) is list and len(polygon) >= 6 and not len(polygon) % 2


def _polygons(shape: list) -> list[list]:
    """Return polygons of at least three points; their numbers are checked later."""
    if type(shape[0]) in _NUMBERS:
        shape = [shape]
    for number, polygon in enumerate(shape):
        if type(polygon) is not list:
            raise ValueError(f'polygon {number}, {shorten(polygon)}: expected a list of numbers')
        if len(polygon) % 2:
            raise ValueError(
                f'polygon {number} has {len(polygon)} numbers; expected pairs of x and y'
            )
    whole = [polygon for polygon in shape if len(polygon) >= 6]
    if not whole:
        raise ValueError(f'polygon 0 has {len(shape[0])} numbers; expected at least 6')
    return whole


def _taken_from_text(items: Items, kept: np.ndarray) -> Polygons:
    """Return the polygons of annotations, as far as they were taken out of the text."""
    rows = items.row[kept]
    if items.columns is None or (rows < 0).all():
        return Polygons.of([[]] * len(kept))
    taken = np.zeros(len(items.columns.places), bool)
    taken[rows[rows >= 0]] = True
    polygons = items.columns.polygons.take(taken)
    counts = np.zeros(len(kept), np.int64)
    counts[rows >= 0] = polygons.counts
    return polygons._replace(counts=counts)


def _as_arrays(
    lists: list[tuple[int, list]], fault: Callable[[int, str], None]
) -> tuple[np.ndarray, Polygons]:
    """Return the numbers of annotations without a fault, and their polygons as arrays."""
    numbers = _numbers([polygon for _, polygons in lists for polygon in polygons])
    if numbers is None:
        rest = []
        for number, polygons in lists:
            values = [*chain.from_iterable(part for part in polygons if type(part) is list)]
            wrong = next((value for value in values if type(value) not in _NUMBERS), None)
            if wrong is None and None not in values:
                rest.append((number, polygons))
            else:
                fault(number, f': {shorten(wrong)} is not a number of pixels')
        return _as_arrays(rest, fault)
    counts = np.array([len(polygons) for _, polygons in lists], np.int64)
    lengths = np.array([len(part) for _, polygons in lists for part in polygons], np.int64)
    return np.array([number for number, _ in lists], np.int64), Polygons(counts, lengths, numbers)


def _measure(polygons: Polygons, sizes: np.ndarray) -> tuple[list[tuple[int, str]], np.ndarray]:
    """Find vertices that lie far outside, and masks that certainly have pixels.

    Args:
        polygons (Polygons): The polygons of N objects.
        sizes (np.ndarray): Height and width of the image of each object, (N, 2).

    Returns:
        tuple: The numbers of objects with a distant vertex, each with what is wrong; and whether
        each object certainly has pixels, bool (N,).
    """
    certain = np.zeros(len(sizes), dtype=bool)
    if not len(polygons.lengths):
        return [], certain
    lengths = polygons.lengths // 2
    owners = np.repeat(np.arange(len(sizes)), polygons.counts)
    x, y = polygons.points[0::2].copy(), polygons.points[1::2].copy()
    starts = np.cumsum(lengths) - lengths
    lowest = np.stack([np.minimum.reduceat(v, starts) for v in (x, y)])
    highest = np.stack([np.maximum.reduceat(v, starts) for v in (x, y)])
    side = sizes[owners].T[::-1]
    far: dict[int, str] = {}
    # A vertex further away than the image's width is a mistake, and drawing it costs memory.
    for polygon in np.flatnonzero(~((lowest >= -side) & (highest <= 2 * side)).all(0)).tolist():
        of_polygon = slice(starts[polygon], starts[polygon] + lengths[polygon])
        w, h = side[:, polygon].tolist()
        px, py = x[of_polygon], y[of_polygon]
        vertex = np.flatnonzero(~((px >= -w) & (px <= 2 * w) & (py >= -h) & (py <= 2 * h)))[0]
        far.setdefault(
            int(owners[polygon]),
            f': vertex ({px[vertex]:g}, {py[vertex]:g}) lies far outside its image of {w} x {h} '
            'pixels',
        )
    # Only polygons that are thin or partly outside may have no pixel.
    following = np.arange(1, len(x) + 1)
    following[starts + lengths - 1] = starts
    next_x, next_y = x[following], y[following]
    with np.errstate(invalid='ignore', over='ignore'):
        area = np.abs(np.add.reduceat(x * next_y - next_x * y, starts)) / 2
        around = np.add.reduceat(np.hypot(next_x - x, next_y - y), starts)
    inside = ((lowest >= -1) & (highest <= side + 1)).all(0)
    certain[owners[(area > np.maximum(4, around)) & inside]] = True
    return list(far.items()), certain


def _numbers(lists: list) -> np.ndarray | None:
    """Return the numbers of lists one after the other; None if one is not a number."""
    numbers = array('d')
    try:
        for part in lists:
            numbers.fromlist(part)
    except TypeError:
        return None
    except OverflowError:  # a whole number of hundreds of digits
        values = list(chain.from_iterable(lists))
        if not {*map(type, values)} <= _NUMBERS:
            return None
        return np.array([min(max(v, -1e300), 1e300) for v in values], np.float64)
    points = np.array(numbers)
    # A truth value has become 0 or 1.
    owners = np.repeat(np.arange(len(lists)), [*map(len, lists)])[(points == 0) | (points == 1)]
    if all({*map(type, lists[owner])} <= _NUMBERS for owner in np.unique(owners).tolist()):
        return points
    return None


def _runs(shape: object, height: int, width: int) -> np.ndarray:
    """Return the lengths of the runs of ones in an RLE mask that fits its image.

    Raises:
        ValueError: It does not fit, or it is not an RLE mask.
    """
    if not isinstance(shape, dict) or not {'size', 'counts'} <= shape.keys():
        raise ValueError(f'{shorten(shape)}: expected polygons, or RLE with size and counts')
    size, counts = shape['size'], shape['counts']
    if size != [height, width]:
        swapped = ' (height comes first)' if size == [width, height] != [height, width] else ''
        raise ValueError(
            f'size {shorten(size)}: its image has [{height}, {width}], height and width{swapped}'
        )
    if isinstance(counts, str):
        runs = _uncompress(counts)
    elif isinstance(counts, list):
        for value in counts:
            if type(value) is not int or not 0 <= value <= height * width:
                raise ValueError(f'counts: {shorten(value)} is not the length of a run')
        runs = np.array(counts, dtype=np.int64)
    else:
        raise ValueError(f'counts {shorten(counts)}: expected a list of numbers, or text')
    if (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(
            f'counts: {"a run is negative" if (runs < 0).any() else f"add up to {runs.sum()}"}; '
            f'the image of {width} x {height} has {height * width} pixels'
        )
    return runs[1::2]


def _uncompress(text: str) -> np.ndarray:
    """Decode pycocotools' text: 5 bits per character, differences from the fourth number on."""
    codes = np.frombuffer(text.encode('utf-8'), dtype=np.uint8).astype(np.int64) - 48
    if not len(codes):
        raise ValueError("counts '': expected the runs of a mask")
    if codes.min() < 0 or codes.max() > 63:
        raise ValueError(f'counts {shorten(text)}: not a run-length code')
    last = (codes & 32) == 0
    if not last[-1]:
        raise ValueError(f'counts {shorten(text)}: cut short')
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 7:
        raise ValueError(f'counts {shorten(text)}: not a run-length code')
    place = np.arange(len(codes)) - np.repeat(starts, lengths)
    values = np.add.reduceat((codes & 31) << 5 * place, starts)
    values -= np.where(codes[ends] & 16, np.int64(1) << 5 * lengths, 0)
    # The first three values are absolute; a later one is the difference to the value two before.
    runs = values.copy()
    runs[1::2] = np.cumsum(values[1::2])
    runs[2::2] = np.cumsum(values[2::2])
    return runs
