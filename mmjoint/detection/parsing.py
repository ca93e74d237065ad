"""Parses the JSON of large annotation files.

A compiled loop takes nearly all annotations out of the text as arrays, so that Python's parser
reads only the rest. It needs numba (extra ``fast``); what it does not take, and every small file,
Python parses whole.
"""

import json
import logging
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from mmengine.logging import print_log

from .packed import Polygons

# Below, importing the loop takes longer than it saves.
WORTH_A_LOOP = 20_000_000
# The columns of the fields of annotations that were taken out of the text; a box has four.
ID, IMAGE_ID, CATEGORY_ID, BOX, AREA, CROWD, FIELDS = 0, 1, 2, 3, 7, 8, 9


class Columns(NamedTuple):
    """Annotations that were taken out of the text.

    Args:
        places (np.ndarray): Their places in the list of annotations, in ascending order.
        spans (np.ndarray): Where each starts and stops in the text, (N, 2).
        fields (np.ndarray): Their numbers, float64 (N, FIELDS); NaN for what is missing.
        polygons (Polygons): Their masks; an annotation without a mask has none.
    """

    places: np.ndarray
    spans: np.ndarray
    fields: np.ndarray
    polygons: Polygons


class Items:
    """The list of annotations of a file.

    Args:
        values (list): What Python's parser read; in the places of ``columns`` it is 0.
        columns (Columns, optional): What was taken out of the text. Defaults to None, nothing.
        content (bytes): The text. Defaults to nothing.
    """

    def __init__(self, values: list, columns: Columns | None = None, content: bytes = b'') -> None:
        self.values, self.columns, self._content = values, columns, content
        self.row = np.full(len(values), -1)
        """The row of each annotation in ``columns``; -1 for one that is in ``values``."""
        if columns is not None:
            self.row[columns.places] = np.arange(len(columns.places))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, place: int) -> Any:
        """Return an annotation as Python's parser reads it."""
        row = self.row[place]
        if row < 0 or self.columns is None:
            return self.values[place]
        start, stop = self.columns.spans[row].tolist()
        return json.loads(self._content[start:stop])


def parse_json(content: bytes) -> Any:
    """Parse a COCO annotation file.

    Args:
        content (bytes): The file.

    Returns:
        Any: What ``json.loads`` returns, but that a list of ``annotations`` is Items.

    Raises:
        ValueError, RecursionError: As documented in ``json.loads``.
    """
    if len(content) >= WORTH_A_LOOP and find_spec('numba') is not None:
        try:
            return _parse_without_annotations(content)
        except (ValueError, RecursionError):
            pass  # the error of the whole text has its line and column
        except Exception as error:  # an unknown NumPy, a CPU unknown to LLVM, ...
            print_log(
                f'annotations are read without the compiled loop: {type(error).__name__}: {error}',
                logger='current',
                level=logging.WARNING,
            )
    result = json.loads(content)
    if isinstance(result, dict) and isinstance(result.get('annotations'), list):
        result['annotations'] = Items(result['annotations'])
    return result


def _parse_without_annotations(content: bytes) -> Any:
    from .annotation_loop import cut_annotations

    text = np.frombuffer(content, np.uint8)
    # As many as there can be, in a text that is not JSON too.
    objects, lists, commas = (content.count(mark) for mark in (b'{', b'[', b','))
    rest = np.empty(len(text), np.uint8)
    rows = np.empty((objects, 3), np.int64)
    numbers = np.empty(FIELDS * objects + commas + lists, np.float64)
    counts, lengths = np.empty(objects, np.int64), np.empty(lists, np.int64)
    long = np.empty((commas + lists + objects, 3), np.int64)
    end, found, coordinates, polygons, longs = cut_annotations(
        text, rest, rows, numbers, counts, lengths, long
    )
    if found < 0:
        raise ValueError('annotations cannot be taken out of the text')
    result = json.loads(rest[:end].tobytes())
    for place, start, stop in long[:longs].tolist():
        numbers[place] = float(content[start:stop])
    if isinstance(result, dict) and isinstance(result.get('annotations'), list):
        points = numbers[FIELDS * objects :][:coordinates]
        columns = Columns(
            rows[:found, 0],
            rows[:found, 1:],
            numbers[: FIELDS * found].reshape(found, FIELDS),
            Polygons(counts[:found], lengths[:polygons], points),
        )
        result['annotations'] = Items(result['annotations'], columns, content)
    return result
