"""Odd annotation files are read in their one meaning or refused by name, before anything else."""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from odd_annotations import COCO_CASES
from odd_changes import Case, write_coco
from odd_voc import VOC_CASES, write_voc
from pycocotools import mask as rle

from mmjoint.detection.masks import decode_mask
from mmjoint.detection.metric import average_precision, evaluate_voc
from mmjoint.detection.sources import (
    DataSets,
    add_arguments,
    count_objects,
    read_data,
    read_written,
)
from mmjoint.detection.torchvision.data import DetectionImages
from mmjoint.detection.voc import VOC_CLASSES


def read(form: str, *arguments: object) -> DataSets:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read_data(parser.parse_args([str(a) for a in arguments]), form)


def read_coco_case(folder: Path, case: Case) -> DataSets:
    write_coco(folder, case)
    return read(
        'coco', '--coco-root', folder, '--train-split', 'train', '--test-split', 'test',
        '--task', 'segm' if case.masks else 'bbox',
    )  # fmt: skip


def read_voc_case(folder: Path, case: Case) -> DataSets:
    write_voc(folder, case)
    return read(
        'voc', '--voc-root', folder, '--train-split', 'train/all', '--test-split', 'test/all'
    )


def perfect_detector(coco: dict, masks: bool) -> list[dict]:
    """What a detector finds that is always right."""
    sizes = {image['id']: (image['height'], image['width']) for image in coco['images']}
    found = []
    for item in coco['annotations']:
        if item['iscrowd']:
            continue
        detection = dict(
            image_id=item['image_id'], category_id=item['category_id'], bbox=item['bbox'], score=0.9
        )
        if masks:
            mask = decode_mask(item, *sizes[item['image_id']])
            detection['segmentation'] = rle.encode(mask)
        found.append(detection)
    return found


def check(case: Case, folder: Path, read_case: Callable[[Path, Case], DataSets]) -> None:
    """Hold what is read, or the refusal, against what is right."""
    if case.refused:
        with pytest.raises(ValueError, match=re.escape(str(folder))) as error:
            read_case(folder, case)
        message = str(error.value)
        assert '\n' not in message and str(folder) in message
        for word in case.words:
            assert word in message
        return
    data = read_case(folder, case)
    training = DetectionImages(data.train, (48,), 99, True, data.masks)
    objects = [training[index, (0,)][1] for index in range(len(training))]
    difficult = sum(item.get('difficult', 0) for item in data.train['annotations'])
    assert sum(len(target['labels']) for target in objects) == case.objects + difficult
    if data.masks:
        assert all(mask.any() for target in objects for mask in target['masks'])
    expected = case.objects if case.test_objects is None else case.test_objects
    assert sum(count_objects(data.test).values()) == expected
    result = average_precision(data.test, perfect_detector(data.test, data.masks), data.masks)
    hundred = dict(AP=100, AP50=100, AP75=100)
    kinds = ('bbox', 'segm') if data.masks else ('bbox',)
    assert result == {kind: pytest.approx(hundred) for kind in kinds}


@pytest.mark.parametrize('case', COCO_CASES, ids=lambda case: case.name.replace(' ', '_'))
def test_coco(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path, read_coco_case)


@pytest.mark.parametrize('case', VOC_CASES, ids=lambda case: case.name.replace(' ', '_'))
def test_voc(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path, read_voc_case)


def as_lists(part: dict) -> str:
    return json.dumps(part, default=np.ndarray.tolist, sort_keys=True)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    data = read_coco_case(tmp_path / 'set', COCO_CASES[0])
    data.write(tmp_path / 'data')
    for part, name in ((data.train, 'train'), (data.test, 'test')):
        written = read_written(tmp_path / 'data', name)
        assert written.pop('info') == dict(form='coco', masks=True)
        assert as_lists(written) == as_lists(part)


def test_classes_are_a_subset_or_a_file(tmp_path: Path) -> None:
    write_coco(tmp_path, COCO_CASES[0])
    names = tmp_path / 'names.txt'
    names.write_bytes('traffic light\r\n\r\ncat\r\n'.encode('utf-8-sig'))
    arguments = ['--coco-root', tmp_path, '--train-split', 'train', '--test-split', 'test']
    for given in ([names], ['traffic light', 'cat'], ['traffic light,cat']):
        data = read('coco', *arguments, '--classes', *given)
        assert data.classes == ['cat', 'traffic light']  # in the order of their ids
        found = perfect_detector(data.test, True)
        assert len(found) == 5
        assert average_precision(data.test, found, True)['segm']['AP'] == pytest.approx(100)
    with pytest.raises(ValueError, match=r"instances_train\.json.*no 'wolf', which --classes"):
        read('coco', *arguments, '--classes', 'cat', 'wolf')
    with pytest.raises(ValueError, match="'cat' comes twice"):
        read('coco', *arguments, '--classes', 'cat', 'cat')


def test_own_files(tmp_path: Path) -> None:
    write_coco(tmp_path, COCO_CASES[0])
    arguments = []
    for part in ('train', 'test'):
        arguments += [f'--{part}-annotations', tmp_path / f'annotations/instances_{part}.json']
        arguments += [f'--{part}-images', tmp_path / part]
    data = read('coco', *arguments)
    assert (data.classes, len(data.train['images'])) == (['cat', 'dog', 'traffic light'], 4)
    assert data.summary()['classes']['dog'] == dict(train=3, test=3)
    with pytest.raises(ValueError, match='--train-annotations needs --test-annotations and'):
        read('coco', *arguments[:4])
    with pytest.raises(ValueError, match='--train-split and --train-annotations: give one'):
        read('coco', *arguments, '--train-split', 'train')
    with pytest.raises(ValueError, match='--train-annotations: is for COCO form'):
        read('voc', *arguments)


def test_published_classes_of_voc(shared_data: Path) -> None:
    splits = ('--train-split', 'VOC2007/trainval', '--test-split', 'VOC2007/test')
    data = read('voc', '--voc-root', shared_data / 'voc_mini', *splits)
    assert data.classes == list(VOC_CLASSES)
    assert any('the 20 that VOC published' in line for line in data.lines)
    data = read('voc', '--voc-root', shared_data / 'voc_mini', *splits, '--classes', 'dog', 'cat')
    assert data.classes == ['dog', 'cat']
    found = perfect_detector(data.test, False)
    assert evaluate_voc(data.test, found)[0]['bbox']['AP'] == pytest.approx(100)
    assert average_precision(data.test, found)['bbox']['AP'] == pytest.approx(100)


@pytest.mark.slow
def test_perfect_detector_on_real_photos(shared_data: Path) -> None:
    data = read('coco', '--coco-root', shared_data / 'coco_mini')
    result = average_precision(data.test, perfect_detector(data.test, True), True)
    hundred = pytest.approx(dict(AP=100, AP50=100, AP75=100))
    assert result == dict(bbox=hundred, segm=hundred)
    assert len(data.train['annotations']) == 1955 and len(data.test['annotations']) == 1676
