"""COCO's metric, pycocotools', on annotations as the readers give them."""

import contextlib
import io
import json
import math
from collections.abc import Iterable
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ..utils.files import write_output
from .data import METRICS


def average_precision(
    coco: dict, found: Iterable[dict], masks: bool = False
) -> dict[str, dict[str, float]]:
    """Compute COCO's metric, pycocotools'.

    AP is the mean over the classes that have objects and over IoU 0.50, 0.55, ..., 0.95 of the
    precision at 101 recalls. On VOC this is not detectron2's AP, which takes 11 recalls for 2007:
    never compare the two.

    Args:
        coco (dict): Images, annotations and categories; ``iscrowd`` objects are ignored. Ids of
            annotations are not looked at, a missing ``iscrowd`` is 0.
        found (Iterable[dict]): From ``detect``.
        masks (bool): Whether to compare the masks too. Defaults to False.

    Returns:
        dict[str, dict[str, float]]: ``bbox``, and ``segm`` with masks: AP, AP50 and AP75 in
        percent; NaN where there is no object at all.
    """
    return evaluate(coco, found, masks)[0]


def evaluate(
    coco: dict, found: Iterable[dict], masks: bool = False
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float | None]]]:
    """Compute COCO's metric, of all classes together and of each.

    Args:
        coco (dict): As of ``average_precision``.
        found (Iterable[dict]): As of ``average_precision``.
        masks (bool): As of ``average_precision``.

    Returns:
        tuple[dict, dict]: The result of ``average_precision``; and of each class by its name, AP
        by kind, None for a class without an object.
    """
    found = list(found)
    names = {category['id']: category['name'] for category in coco['categories']}
    results: dict = {}
    per_class: dict = {name: {} for name in names.values()}
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools tells every step
        truth = COCO()
        truth.dataset = dict(coco, annotations=_numbered(coco['annotations']))
        truth.createIndex()
        for kind in ('bbox', 'segm') if masks else ('bbox',):
            # With a box at hand, pycocotools takes its area for that of the mask.
            left_aside = 'segmentation' if kind == 'bbox' else 'bbox'
            items = [{k: v for k, v in item.items() if k != left_aside} for item in found]
            detections = COCO()
            if found:
                detections = truth.loadRes(items)
            else:
                detections.dataset = dict(coco, annotations=[])
                detections.createIndex()
            evaluation = COCOeval(truth, detections, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            stats = [100 * value if value >= 0 else math.nan for value in evaluation.stats[:3]]
            results[kind] = dict(zip(METRICS, map(float, stats), strict=True))
            for index, category in enumerate(evaluation.params.catIds):
                precision = evaluation.eval['precision'][:, :, index, 0, -1]
                precision = precision[precision > -1]
                per_class[names[category]][kind] = (
                    100 * float(precision.mean()) if precision.size else None
                )
    return results, per_class


def _numbered(annotations: Iterable[dict]) -> list[dict]:
    """Number annotations from 1: pycocotools takes one whose id is 0 for no match."""
    return [
        dict(
            item,
            id=number,
            iscrowd=item.get('iscrowd') or 0,
            area=item.get('area') or item['bbox'][2] * item['bbox'][3],
        )
        for number, item in enumerate(annotations, start=1)
    ]


def write_predictions(path: str | Path, coco: dict, found: Iterable[dict]) -> None:
    """Save detections as COCO's results: a JSON list that pycocotools' ``loadRes`` reads.

    Args:
        path (str | Path): The file.
        coco (dict): The test set; where its ids were text, the file has the text.
        found (Iterable[dict]): From ``detect``.
    """
    ids = {
        part: {item['id']: item.get('source_id', item['id']) for item in coco[part]}
        for part in ('images', 'categories')
    }
    items = []
    for item in found:
        item = dict(item)
        item['image_id'] = ids['images'][item['image_id']]
        item['category_id'] = ids['categories'][item['category_id']]
        item['bbox'] = [round(value, 3) for value in item['bbox']]
        if 'segmentation' in item:
            counts = item['segmentation']['counts']
            text = counts.decode() if isinstance(counts, bytes) else counts
            item['segmentation'] = dict(item['segmentation'], counts=text)
        items.append(item)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_output(path, json.dumps(items) + '\n')
