import cv2
import numpy as np
import pytest
import torchvision
from mmpretrain.registry import DATASETS

from mmjoint.datasets import TinyImageNet

WNIDS = ('n02', 'n01', 'n03')


def write_image(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path.with_suffix('.png')), np.full((4, 4, 3), value, np.uint8))
    path.with_suffix('.png').rename(path)


@pytest.fixture
def published(tmp_path):
    """The layout of the archive; an image's pixels tell its class."""
    for value, wnid in enumerate(WNIDS):
        for i in range(2):
            write_image(tmp_path / f'train/{wnid}/images/{wnid}_{i}.JPEG', value)
        (tmp_path / f'train/{wnid}/{wnid}_boxes.txt').write_text('n02_0.JPEG\t0\t0\t3\t3\n')
        write_image(tmp_path / f'val/images/val_{value}.JPEG', value)
    rows = [f'val_{value}.JPEG\t{wnid}\t0\t0\t3\t3\n' for value, wnid in enumerate(WNIDS)]
    (tmp_path / 'val/val_annotations.txt').write_text(''.join(rows))
    return tmp_path


@pytest.fixture
def foldered(tmp_path):
    for value, wnid in enumerate(WNIDS):
        write_image(tmp_path / f'train/{wnid}/a.JPEG', value)
        write_image(tmp_path / f'val/{wnid}/b.JPEG', value)
    (tmp_path / 'classes.txt').write_text('of no account')
    (tmp_path / 'val/notes.txt').write_text('of no account')
    return tmp_path


@pytest.mark.parametrize(('split', 'count'), [('train', 6), ('val', 3)])
def test_published_layout(published, split, count):
    dataset = TinyImageNet(data_root=str(published), split=split)
    assert len(dataset) == count
    assert dataset.CLASSES == ('n01', 'n02', 'n03')
    for info in dataset:
        wnid = WNIDS[cv2.imread(info['img_path'])[0, 0, 0]]
        assert dataset.CLASSES[info['gt_label']] == wnid


@pytest.mark.parametrize('split', ['train', 'val'])
def test_foldered_layout_agrees_with_torchvision(foldered, split):
    theirs = torchvision.datasets.ImageFolder(str(foldered / split))
    ours = TinyImageNet(data_root=str(foldered), split=split)
    assert list(ours.CLASSES) == theirs.classes
    assert [(info['img_path'], info['gt_label']) for info in ours] == theirs.samples


def test_sorted_copy_that_kept_the_table(foldered):
    (foldered / 'val/val_annotations.txt').write_text('val_0.JPEG\tn01\t0\t0\t3\t3\n')
    assert len(TinyImageNet(data_root=str(foldered), split='val')) == 3


def test_labels_of_a_smaller_val_agree_with_train(foldered):
    (foldered / 'val/n01/b.JPEG').unlink()
    (foldered / 'val/n01').rmdir()
    labels = [info['gt_label'] for info in TinyImageNet(data_root=str(foldered), split='val')]
    assert labels == [1, 2]


def test_shared_subset(shared_data):
    for split, count in (('train', 10000), ('val', 1000)):
        dataset = TinyImageNet(data_root=str(shared_data / 'tiny_imagenet_20'), split=split)
        assert np.bincount(dataset.get_gt_labels()).tolist() == [count // 20] * 20


def test_registered_with_pipeline(foldered):
    pipeline = [dict(type='LoadImage'), dict(type='PackInputs')]
    dataset = DATASETS.build(
        dict(type='TinyImageNet', data_root=str(foldered), split='val', pipeline=pipeline)
    )
    packed = dataset[2]
    assert packed['data_samples'].gt_label.item() == 2
    assert packed['inputs'].unique().item() == WNIDS.index('n03')


def test_wrong_split(foldered):
    with pytest.raises(ValueError, match="split must be 'train' or 'val', got 'test'"):
        TinyImageNet(data_root=str(foldered), split='test')


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere/train: no such folder'):
        TinyImageNet(data_root=str(tmp_path / 'nowhere'), split='val')
    (tmp_path / 'train').mkdir()
    with pytest.raises(FileNotFoundError, match=r'/val: no such folder'):
        TinyImageNet(data_root=str(tmp_path), split='val')


def test_empty_folder(tmp_path):
    (tmp_path / 'train/n01').mkdir(parents=True)
    with pytest.raises(ValueError, match=r'/train: no \.JPEG image of a class'):
        TinyImageNet(data_root=str(tmp_path), split='train')


def test_class_that_train_lacks(foldered):
    write_image(foldered / 'val/n99/b.JPEG', 0)
    with pytest.raises(ValueError, match=r'/val: 1 classes that .*/train lacks, such as n99'):
        TinyImageNet(data_root=str(foldered), split='val')


def test_broken_table(published):
    (published / 'val/val_annotations.txt').write_text('val_0.JPEG\tn01\nval_1.JPEG n02\n')
    with pytest.raises(ValueError, match=r"val_annotations.txt: line 2 is 'val_1.JPEG n02'"):
        TinyImageNet(data_root=str(published), split='val')
