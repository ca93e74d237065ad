"""Parses the JSON of large annotation files, nearly all of which are the numbers of polygons.

A compiled loop takes these out of the text as arrays, so that Python's parser reads only the rest.
It needs numba (extra ``fast``); what it does not take, and every small file, Python parses whole.
"""

import json
import logging
import secrets
from importlib.util import find_spec
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from mmengine.logging import print_log

from .packed import parts

# Below, importing the loop takes longer than it saves.
WORTH_A_LOOP = 20_000_000


def parse_json(content: bytes) -> Any:
    """Parse a COCO annotation file.

    Args:
        content (bytes): The file.

    Returns:
        Any: What ``json.loads`` returns, but that polygons may be arrays of float64 with x and y in
        turn, at least three points each.

    Raises:
        ValueError, RecursionError: As documented in ``json.loads``.
    """
    if len(content) >= WORTH_A_LOOP and find_spec('numba') is not None:
        try:
            return _parse_without_polygons(content)
        except (ValueError, RecursionError):
            pass  # the error of the whole text has its line and column
        except Exception as error:  # an unknown NumPy, a CPU unknown to LLVM, ...
            print_log(
                f'annotations are read without the compiled loop: {type(error).__name__}: {error}',
                logger='current',
                level=logging.WARNING,
            )
    return json.loads(content)


def _parse_without_polygons(content: bytes) -> Any:
    from .polygon_loop import MARK, cut_polygons

    text = np.frombuffer(content, np.uint8)
    # As many as there can be, in a text that is not JSON too.
    lists = content.count(b'[')
    numbers = content.count(b',') + lists
    rest = np.empty(len(text), np.uint8)
    points = np.empty(numbers, np.float64)
    lengths, counts = np.empty(lists, np.int64), np.empty(lists, np.int64)
    # Drawn anew, so that no text of a file can be mistaken for it.
    mark = secrets.token_urlsafe(MARK)[:MARK]
    end, masks = cut_polygons(
        text, np.frombuffer(mark.encode(), np.uint8), rest, points, lengths, counts
    )
    result = json.loads(rest[:end].tobytes())
    counts = counts[:masks]
    polygons = parts(points, lengths[: counts.sum()])
    places = [*pairwise(accumulate(counts.tolist(), initial=0))]
    items = result.get('annotations') if isinstance(result, dict) else None
    for item in items if isinstance(items, list) else ():
        shape = item.get('segmentation') if isinstance(item, dict) else None
        if type(shape) is str and shape.startswith(mark):
            start, stop = places[int(shape[MARK:])]
            item['segmentation'] = polygons[start:stop]
            masks -= 1
    # Some may be elsewhere, or twice in one annotation.
    return json.loads(content) if masks else result
