"""ImageNetSubset against torchvision's ImageFolder; the list of ImageNet-100; COCO's config."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torchvision
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from mmjoint.datasets import ImageNetSubset
from mmjoint.datasets.imagenet_subset import read_class_list

CONFIGS = Path(__file__).parents[2] / 'configs/_base_/datasets'
# Five classes, whose numbers among all are those of the sorted ids; a subset of three.
WNIDS = ('n00000001', 'n00000002', 'n00000003', 'n00000004', 'n00000005')
CHOSEN = ('n00000005', 'n00000002', 'n00000003')


def write_image(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path.with_suffix('.png')), np.full((4, 4, 3), value, np.uint8))
    path.with_suffix('.png').rename(path)


@pytest.fixture
def class_list(tmp_path):
    path = tmp_path / 'three.txt'
    path.write_text('# three of five\n' + '\n'.join(CHOSEN) + '\n')
    return str(path)


@pytest.fixture
def foldered(tmp_path):
    """A folder a class; an image's pixels tell its class."""
    for value, wnid in enumerate(WNIDS):
        for i in range(2):
            write_image(tmp_path / f'imagenet/train/{wnid}/{wnid}_{i}.JPEG', value)
        write_image(tmp_path / f'imagenet/val/{wnid}/v_{value}.JPEG', value)
    return tmp_path / 'imagenet'


@pytest.fixture
def annotated(tmp_path):
    """The flat layout with tables; the order of the numbers is not that of the ids."""
    numbers = dict(zip(WNIDS, (3, 0, 4, 1, 2), strict=True))
    tables = dict(train=[], val=[])
    for value, wnid in enumerate(WNIDS):
        for split, name in (('train', f'{wnid}/{wnid}_7.JPEG'), ('val', f'val_{value}.JPEG')):
            write_image(tmp_path / 'flat' / split / 'x' / name, value)
            tables[split].append(f'x/{name} {numbers[wnid]}')
    for split, lines in tables.items():
        (tmp_path / 'flat/meta').mkdir(exist_ok=True)
        (tmp_path / f'flat/meta/{split}.txt').write_text('\n'.join(lines) + '\n')
    return tmp_path / 'flat'


@pytest.mark.parametrize('split', ['train', 'val'])
def test_folders_agree_with_torchvision(foldered, class_list, split):
    """As torchvision sees a folder from which the other classes were taken out."""
    ours = ImageNetSubset(str(foldered), split, class_list)
    for wnid in set(WNIDS).difference(CHOSEN):
        shutil.rmtree(foldered / split / wnid)
    theirs = torchvision.datasets.ImageFolder(str(foldered / split))
    assert [(info['img_path'], info['gt_label']) for info in ours] == theirs.samples
    assert list(ours.metainfo['classes']) == theirs.classes == sorted(CHOSEN)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_tables(annotated, class_list, split):
    dataset = ImageNetSubset(str(annotated), split, class_list)
    assert len(dataset) == len(CHOSEN)
    for info in dataset:
        wnid = WNIDS[cv2.imread(info['img_path'])[0, 0, 0]]
        assert dataset.metainfo['classes'][info['gt_label']] == wnid


def test_classes_without_images(foldered, annotated, class_list):
    shutil.rmtree(foldered / 'val/n00000003')
    with pytest.raises(ValueError, match='no image of 1 of the 3 classes .* such as n00000003'):
        ImageNetSubset(str(foldered), 'val', class_list)
    (annotated / 'meta/train.txt').unlink()
    with pytest.raises(FileNotFoundError, match='no folder of a class .* and no .*train.txt'):
        ImageNetSubset(str(annotated), 'val', class_list)


def test_broken_table(annotated, class_list):
    (annotated / 'meta/val.txt').write_text('x/val_0.JPEG\n')
    with pytest.raises(ValueError, match='val.txt: line 1 .* expected FILE LABEL'):
        ImageNetSubset(str(annotated), 'val', class_list)


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('tench\n', "'tench' is not a wnid"),
        ('n01440764\nn01440764\n', 'n01440764 is there twice'),
        ('# nothing\n', 'it names no class'),
    ],
)
def test_broken_class_list(tmp_path, content, words):
    path = tmp_path / 'list.txt'
    path.write_text(content)
    with pytest.raises(ValueError, match=words):
        read_class_list(str(path))
    with pytest.raises(FileNotFoundError, match='no such class list'):
        read_class_list(str(tmp_path / 'imagenet101'))


def test_imagenet100():
    """A hundred ids, among them the first five of the list as it was published."""
    wnids = read_class_list('imagenet100')
    assert len(wnids) == len(set(wnids)) == 100 and list(wnids) == sorted(wnids)
    assert {'n02869837', 'n01749939', 'n02488291', 'n02107142', 'n13037406'} < set(wnids)


@pytest.mark.parametrize('name', ['imagenet100', 'imagenet100_linear'])
def test_imagenet100_configs(name, foldered, class_list):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    for loader in ('train_dataloader', 'knn_train_dataloader', 'knn_val_dataloader'):
        dataset = cfg[loader].dataset
        assert (dataset.type, dataset.class_list) == ('ImageNetSubset', 'imagenet100')
        assert dataset.data_root == 'data/imagenet'
        dataset.update(data_root=str(foldered), class_list=class_list)
        assert len(DATASETS.build(dataset)) == (3 if 'val' in loader else 6)


def test_coco_config_reads_the_photos_of_train2017(shared_data):
    dataset = Config.fromfile(CONFIGS / 'coco.py').train_dataloader.dataset
    dataset.data_root = str(shared_data / 'coco_mini')
    built = DATASETS.build(dataset)
    photos = sorted(str(path) for path in (shared_data / 'coco_mini/train2017').glob('*.jpg'))
    assert [info['img_path'] for info in built] == photos and len(photos) == 230
    assert all('gt_label' not in info for info in built)
