"""COCO's metric by pycocotools, and VOC2007's, for annotations in the readers' form."""

import contextlib
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ..utils.files import write_output
from .data import METRICS


def average_precision(
    coco: dict, found: Iterable[dict], masks: bool = False
) -> dict[str, dict[str, float]]:
    """Compute COCO's metric by pycocotools.

    AP is the mean of the precision at 101 recall points, over the classes that have objects and
    over IoU 0.50, 0.55, ..., 0.95. On VOC this is not detectron2's AP, which uses 11 recall points
    for 2007: never compare the two.

    Args:
        coco (dict): Images, annotations and categories; ``iscrowd`` objects are ignored. Ids of
            annotations are not used; a missing ``iscrowd`` is 0.
        found (Iterable[dict]): Detections from ``detect``.
        masks (bool): Whether to compare the masks too. Defaults to False.

    Returns:
        dict[str, dict[str, float]]: ``bbox``, and with masks ``segm``: AP, AP50 and AP75 in
        percent; NaN if there is no object.
    """
    return evaluate(coco, found, masks)[0]


def evaluate(
    coco: dict, found: Iterable[dict], masks: bool = False
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float | None]]]:
    """Compute COCO's metric for all classes together and for each class.

    Args:
        coco (dict): As documented in ``average_precision``.
        found (Iterable[dict]): As documented in ``average_precision``.
        masks (bool): As documented in ``average_precision``.

    Returns:
        tuple[dict, dict]: The result of ``average_precision``; and for each class, by its name, the
        AP by kind, None for a class without an object.
    """
    found = list(found)
    names = {category['id']: category['name'] for category in coco['categories']}
    results: dict = {}
    per_class: dict = {name: {} for name in names.values()}
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints every step
        truth = COCO()
        truth.dataset = dict(coco, annotations=_numbered(coco['annotations']))
        truth.createIndex()
        for kind in ('bbox', 'segm') if masks else ('bbox',):
            # If a box exists, pycocotools uses its area as the area of the mask.
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
    """Number annotations from 1: pycocotools treats a match with id 0 as no match."""
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
    """Save detections as COCO results, a JSON list that pycocotools' ``loadRes`` reads.

    Args:
        path (str | Path): The file.
        coco (dict): The test set; if its ids were text, the file contains that text.
        found (Iterable[dict]): Detections from ``detect``.
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


def evaluate_voc(
    coco: dict, found: Iterable[dict]
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float | None]]]:
    """Compute VOC2007's metric, as detectron2's evaluator does.

    AP is the mean of the precision at 11 recall points, over IoU 0.50, 0.55, ..., 0.95 and over the
    classes that have objects. Difficult objects count neither as found nor as missed. Boxes are
    rounded to a tenth of a pixel and scores to a thousandth, as detectron2 writes them.

    Args:
        coco (dict): As documented in ``average_precision``; difficult objects have ``iscrowd``.
        found (Iterable[dict]): As documented in ``average_precision``.

    Returns:
        tuple[dict, dict]: As documented in ``evaluate``, for boxes only.
    """
    objects: dict = {}
    for item in coco['annotations']:
        of_image = objects.setdefault(item['category_id'], {}).setdefault(item['image_id'], [])
        of_image.append((item['bbox'], bool(item.get('iscrowd'))))
    detections: dict = {}
    for item in found:
        detections.setdefault(item['category_id'], []).append(item)
    per_class, of_classes = {}, []
    for category in coco['categories']:
        truth = objects.get(category['id'], {})
        number = sum(not difficult for of_image in truth.values() for _, difficult in of_image)
        ap = None
        if number:
            of_classes.append(_voc_precisions(truth, detections.get(category['id'], []), number))
            ap = float(of_classes[-1].mean())
        per_class[category['name']] = dict(bbox=ap)
    mean = np.mean(of_classes, axis=0) if of_classes else np.full(10, math.nan)
    stats = (mean.mean(), mean[0], mean[5])
    return dict(bbox=dict(zip(METRICS, map(float, stats), strict=True))), per_class


def _voc_precisions(truth: dict, detections: list[dict], number: int) -> np.ndarray:
    """Return the AP in percent of one class at ten IoU thresholds."""
    thresholds = 0.5 + 0.05 * np.arange(10)
    detections = sorted(detections, key=lambda item: -round(item['score'], 3))
    hits, misses = (np.zeros((10, len(detections))) for _ in range(2))
    taken = {image: np.zeros((10, len(of_image)), dtype=bool) for image, of_image in truth.items()}
    for index, item in enumerate(detections):
        of_image = truth.get(item['image_id'])
        if not of_image:
            misses[:, index] = 1
            continue
        x, y, w, h = item['bbox']
        box = [round(value, 1) for value in (x, y, x + w, y + h)]
        ious = [_iou(box, other) for (other, _) in of_image]
        best = int(np.argmax(ious))
        near = ious[best] > thresholds
        misses[~near, index] = 1
        if not of_image[best][1]:
            first = near & ~taken[item['image_id']][:, best]
            hits[first, index] = 1
            misses[near & ~first, index] = 1
            taken[item['image_id']][:, best] |= near
    hits, misses = np.cumsum(hits, axis=1), np.cumsum(misses, axis=1)
    recall = hits / number
    precision = hits / np.maximum(hits + misses, np.finfo(np.float64).eps)
    points = [
        np.where(recall >= point, precision, 0).max(axis=1, initial=0)
        for point in np.arange(0, 1.1, 0.1)
    ]
    return 100 * np.mean(points, axis=0)


def _iou(corners: Sequence[float], box: Sequence[float]) -> float:
    """Return the overlap of a box given by its corners with a box given as x, y, w, h."""
    left, top, right, bottom = corners
    x, y, w, h = box
    inner = max(0.0, min(right, x + w) - max(left, x)) * max(0.0, min(bottom, y + h) - max(top, y))
    return inner / ((right - left) * (bottom - top) + w * h - inner)
