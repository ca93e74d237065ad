"""Masks in COCO's form, polygons and RLE: checks that they have one meaning, and their pixels.

pycocotools trusts its input: a list of four numbers becomes a box, a truncated run-length code is
read beyond its end, a distant vertex allocates gigabytes. Masks are therefore checked first.
"""

from array import array
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle

from .findings import Findings, shorten
from .packed import parts

_CHUNK = 20000
_NUMBERS = {int, float}
_LISTS = {list, np.ndarray}
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


def check_masks(
    annotations: Sequence[dict],
    where: Callable[[int], str],
    sizes: dict[int, tuple[int, int]],
    path: str | Path,
    findings: Findings,
    required: bool,
) -> list[dict]:
    """Check masks, and return the annotations whose mask has pixels.

    Args:
        annotations (Sequence[dict]): Annotations with ``segmentation``, which is corrected in
            place: a list of polygons becomes a list of arrays, and so does one flat polygon;
            polygons of one or two points are removed if there are others. An annotation without a
            mask loses the key.
        where (Callable[[int], str]): Returns the name of an annotation in messages by its index.
        sizes (dict[int, tuple[int, int]]): Height and width of each image by its id.
        path (str | Path): The annotation file, for messages.
        findings (Findings): Receives the faults and what is left out.
        required (bool): Whether an annotation without a mask is a fault.

    Returns:
        list[dict]: The annotations, without those with a fault or without a pixel.
    """
    bad: set[int] = set()
    polygons: list[tuple[int, list]] = []
    for index, item in enumerate(annotations):
        shape = item.get('segmentation')
        if type(shape) is list and shape and all(map(_is_polygon, shape)):
            polygons.append((index, shape))
        elif shape is None or shape == []:
            del item['segmentation']
            if required:
                findings.fault(
                    path, where(index), 'segmentation: missing (--task bbox needs no masks)'
                )
                bad.add(index)
        elif isinstance(shape, list):
            try:
                in_order = _polygons(shape)
            except ValueError as error:
                findings.fault(path, where(index), f'segmentation {error}')
                bad.add(index)
                continue
            if len(in_order) < len(shape) and type(shape[0]) is list:
                findings.leave_out(path, _LINES, where(index))
            polygons.append((index, in_order))
        else:
            try:
                if not _runs(shape, *sizes[item['image_id']]).any():
                    findings.leave_out(path, _EMPTY, where(index))
                    bad.add(index)
            except ValueError as error:
                findings.fault(path, where(index), f'segmentation {error}')
                bad.add(index)
    for start in range(0, len(polygons), _CHUNK):
        chunk = polygons[start : start + _CHUNK]
        bad |= _check_polygons(chunk, annotations, where, sizes, path, findings)
    return [item for index, item in enumerate(annotations) if index not in bad]


def _is_polygon(polygon: Any) -> bool:
    return type(polygon) in _LISTS and len(polygon) >= 6 and not len(polygon) % 2


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


def _check_polygons(
    chunk: list[tuple[int, list]],
    annotations: Sequence[dict],
    where: Callable[[int], str],
    sizes: dict[int, tuple[int, int]],
    path: str | Path,
    findings: Findings,
) -> set[int]:
    """Make arrays of polygons; return the indices of annotations with a fault or no pixel."""
    bad: set[int] = set()
    flat = [polygon for _, polygons in chunk for polygon in polygons]
    owners = np.repeat(np.arange(len(chunk)), [len(polygons) for _, polygons in chunk])
    lengths = np.array([len(polygon) // 2 for polygon in flat])
    points = _numbers(flat, 2 * lengths)
    if points is None:
        rest = []
        for index, polygons in chunk:
            values = [*chain.from_iterable(part for part in polygons if type(part) is list)]
            wrong = next((value for value in values if type(value) not in _NUMBERS), None)
            if wrong is None and None not in values:
                rest.append((index, polygons))
                continue
            findings.fault(
                path, where(index), f'segmentation: {shorten(wrong)} is not a number of pixels'
            )
            bad.add(index)
        return bad | (
            _check_polygons(rest, annotations, where, sizes, path, findings) if rest else set()
        )
    arrays = iter(parts(points, 2 * lengths))
    for index, polygons in chunk:
        annotations[index]['segmentation'] = [next(arrays) for _ in polygons]
    x, y = points[0::2], points[1::2]
    height, width = np.array([sizes[annotations[index]['image_id']] for index, _ in chunk]).T
    height, width = height[owners], width[owners]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    lowest = np.stack([np.minimum.reduceat(v, starts) for v in (x, y)])
    highest = np.stack([np.maximum.reduceat(v, starts) for v in (x, y)])
    side = np.stack([width, height])
    # A vertex further away than the image's width is a mistake, and drawing it costs memory.
    far = ~((lowest >= -side) & (highest <= 2 * side)).all(0)
    for polygon in np.flatnonzero(far):
        owner = int(owners[polygon])
        index = chunk[owner][0]
        if index in bad:
            continue
        bad.add(index)
        points_of = slice(starts[polygon], starts[polygon] + lengths[polygon])
        w, h = int(width[polygon]), int(height[polygon])
        outside = ~((x >= -w) & (x <= 2 * w) & (y >= -h) & (y <= 2 * h))[points_of]
        vertex = np.flatnonzero(outside)[0]
        findings.fault(
            path,
            where(index),
            f'segmentation: vertex ({x[points_of][vertex]:g}, {y[points_of][vertex]:g}) lies far '
            f'outside its image of {w} x {h} pixels',
        )
    # Only polygons that are thin or partly outside may have no pixel; these are drawn.
    following = np.arange(1, len(x) + 1)
    following[starts + lengths - 1] = starts
    with np.errstate(invalid='ignore', over='ignore'):
        area = np.abs(np.add.reduceat(x * y[following] - x[following] * y, starts)) / 2
        around = np.add.reduceat(np.hypot(x[following] - x, y[following] - y), starts)
    inside = ((lowest >= -1) & (highest <= side + 1)).all(0)
    certain = np.zeros(len(chunk), dtype=bool)
    certain[owners[(area > np.maximum(4, around)) & inside]] = True
    for owner in np.flatnonzero(~certain).tolist():
        index, polygons = chunk[owner]
        if index in bad:
            continue
        shape = sizes[annotations[index]['image_id']]
        if not rle.area(rle.merge(rle.frPyObjects(polygons, *shape))):
            findings.leave_out(path, _EMPTY, where(index))
            bad.add(index)
    return bad


def _numbers(lists: list, lengths: np.ndarray) -> np.ndarray | None:
    """Return the numbers of lists or arrays one after the other; None if one is not a number."""
    if {*map(type, lists)} == {np.ndarray}:
        return np.concatenate(lists)
    lists = [part if type(part) is list else part.tolist() for part in lists]
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
    points = np.frombuffer(numbers)
    # A truth value has become 0 or 1.
    owners = np.repeat(np.arange(len(lists)), lengths)[(points == 0) | (points == 1)]
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
