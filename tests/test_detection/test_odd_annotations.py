"""Odd annotation files are read in their one meaning or refused by name, before anything else."""

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest
from odd_annotations import COCO_CASES, Case, write_coco
from odd_voc import VOC_CASES, write_voc
from pycocotools import mask as rle

from mmjoint.detection.masks import decode_mask
from mmjoint.detection.metric import average_precision
from mmjoint.detection.sources import DataSets, add_arguments, count_objects, read_data
from mmjoint.detection.torchvision.data import DetectionImages


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
        with pytest.raises(ValueError) as error:
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
