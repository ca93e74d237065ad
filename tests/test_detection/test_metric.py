"""The metric: average precision by COCO's and VOC's rules."""

import copy
import json

import numpy as np
import pytest
from detections import detection, truth
from pycocotools import mask as rle

from mmjoint.detection.metric import (
    average_precision,
    evaluate,
    evaluate_voc,
    write_predictions,
)
from mmjoint.detection.voc import read_voc


def test_hand_computed_average_precision():
    coco = truth([0, 0, 100, 100], [50, 50, 100, 100], [20, 20, 50, 50])
    found = [
        detection(1, [0, 0, 100, 100], 0.9),
        detection(1, [150, 150, 30, 30], 0.8),  # nothing is there
        detection(2, [50, 50, 72, 100], 0.7),  # IoU 0.72
    ]
    # At IoU 0.5 to 0.7 precision is 1 up to recall 1/3 (34 of the 101 points), then 2/3 up to
    # recall 2/3 (33 points); from 0.75 on the third box is wrong.
    low, high = (34 + 33 * 2 / 3) / 101, 34 / 101
    result = average_precision(coco, found)['bbox']
    expected = dict(AP=50 * (low + high), AP50=100 * low, AP75=100 * high)
    assert result == pytest.approx(expected)


def test_perfect_and_no_detections(coco_of, tmp_path):
    coco = coco_of(tmp_path)
    found = []
    for item in coco['annotations']:
        x, y, w, h = item['bbox']
        mask = np.zeros((48, 60), dtype=np.uint8, order='F')
        mask[y : y + h, x : x + w] = 1
        segmentation = rle.encode(mask)
        found.append(
            detection(item['image_id'], item['bbox'], 0.5, item['category_id'])
            | dict(segmentation=segmentation)
        )
    hundred = dict(AP=100, AP50=100, AP75=100)
    before = copy.deepcopy(found)
    assert average_precision(coco, found, masks=True) == dict(bbox=hundred, segm=hundred)
    assert found == before
    nothing = dict(AP=0, AP50=0, AP75=0)
    assert average_precision(coco, [], masks=True) == dict(bbox=nothing, segm=nothing)
    # Boxes all right, masks all empty but for a corner.
    corner = np.zeros((48, 60), dtype=np.uint8, order='F')
    corner[47, 59] = 1
    for item in found:
        item['segmentation'] = rle.encode(corner)
    assert average_precision(coco, found, masks=True) == dict(bbox=hundred, segm=nothing)


def test_each_class_has_its_ap(coco_of, tmp_path):
    coco = coco_of(tmp_path)
    coco['categories'].append(dict(id=11, name='eleven'))
    found = [
        detection(item['image_id'], item['bbox'], 0.5, 7)
        for item in coco['annotations']
        if item['category_id'] == 7
    ]
    metrics, per_class = evaluate(coco, found)
    assert per_class == dict(
        nine=dict(bbox=0.0), seven=dict(bbox=pytest.approx(100)), eleven=dict(bbox=None)
    )
    # The mean is over the two classes that have objects.
    assert metrics['bbox']['AP'] == pytest.approx(50)


def test_voc2007s_metric_takes_eleven_recalls():
    coco = truth([0, 0, 60, 40], [50, 50, 60, 40])
    coco['categories'].append(dict(id=2, name='absent'))
    # One of two is found, 49 of its 60 pixels wide: IoU 0.817, and a recall of 1 / 2, up to which
    # 6 of the 11 points lie. The class without an object does not count.
    result, per_class = evaluate_voc(coco, [detection(1, [0, 0, 49, 40], 0.9)])
    point = 100 * 6 / 11
    assert result['bbox'] == pytest.approx(dict(AP=point * 7 / 10, AP50=point, AP75=point))
    assert per_class['thing'] == dict(bbox=result['bbox']['AP'])
    assert per_class['absent'] == dict(bbox=None)
    # Found twice is wrong once; difficult ones count neither way.
    twice = [detection(1, [0, 0, 60, 40], score) for score in (0.9, 0.8)]
    both = [*twice, detection(2, [50, 50, 60, 40], 0.7)]
    result, _ = evaluate_voc(coco, both)
    # Precision is 1 up to recall 1 / 2, then 2 / 3.
    assert result['bbox']['AP'] == pytest.approx(100 * (6 + 5 * 2 / 3) / 11)
    coco['annotations'][1].update(iscrowd=1, difficult=1)
    assert evaluate_voc(coco, both)[0]['bbox']['AP'] == pytest.approx(100)


@pytest.mark.parametrize('first', [1, 0, -3])
def test_ids_of_annotations_are_only_names(coco_of, tmp_path, first):
    coco = coco_of(tmp_path)
    found = [
        detection(item['image_id'], item['bbox'], 0.5, item['category_id'])
        for item in coco['annotations']
    ]
    for number, item in enumerate(coco['annotations']):
        item['id'] = first + number % 3
        del item['area'], item['iscrowd']
    before = copy.deepcopy(coco)
    assert average_precision(coco, found)['bbox']['AP'] == pytest.approx(100)
    assert coco == before


def test_predictions_are_a_file_that_pycocotools_reads(coco_of, tmp_path):
    coco = coco_of(tmp_path)
    found = []
    for item in coco['annotations'][:3]:
        mask = np.zeros((48, 60), dtype=np.uint8, order='F')
        mask[5:20, 7:30] = 1
        found.append(
            detection(item['image_id'], [7.12345, 5, 23, 15], 0.5, item['category_id'])
            | dict(segmentation=rle.encode(mask))
        )
    coco['images'][0]['source_id'] = 'first'
    write_predictions(tmp_path / 'new/found.json', coco, found)
    written = json.loads((tmp_path / 'new/found.json').read_text())
    assert [item['image_id'] for item in written] == ['first', 2, 3]
    assert written[0]['bbox'] == [7.123, 5, 23, 15]
    assert np.array_equal(rle.decode(written[1]['segmentation']), mask)


def test_difficult_objects_count_neither_way(voc):
    coco = read_voc(voc, ['VOC2007/test'])
    dogs = [
        detection(item['image_id'], item['bbox'], 0.9, 12)
        for item in coco['annotations']
        if not item['difficult']
    ]
    difficult = detection(1, [7, 11, 345, 487], 0.95, 15)
    for found in (dogs, [*dogs, difficult]):
        assert average_precision(coco, found)['bbox']['AP'] == 100
    # Were it an ordinary object, missing it would halve the mean over the two classes.
    for item in coco['annotations']:
        item['iscrowd'] = 0
    assert average_precision(coco, dogs)['bbox']['AP'] == 50
