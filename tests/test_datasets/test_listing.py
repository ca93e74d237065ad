"""Hidden files and folders are the same to all data sets: neither images nor classes."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmpretrain.registry import DATASETS
from PIL import Image

from mmjoint.datasets import ImageFolder, ImageNetSubset, TinyImageNet, class_folders, list_images
from mmjoint.evaluation import use_folder

CLASSES = ['n01443537', 'n01629819', 'n01641577']


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three classes of two images in train and val, and what other programs leave beside them."""
    for split in ('train', 'val'):
        for i, name in enumerate(CLASSES):
            (tmp_path / split / name).mkdir(parents=True)
            for j in range(2):
                pixels = np.full((8, 8, 3), 40 * i + 5 * j, np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f'{j}.JPEG')
        for hidden in ('.ipynb_checkpoints', '__MACOSX', f'{CLASSES[0]}/.thumbs', '@eaDir'):
            (tmp_path / split / hidden).mkdir()
            Image.new('RGB', (8, 8)).save(tmp_path / split / hidden / 'x.JPEG')
        (tmp_path / split / CLASSES[0] / '._0.JPEG').write_bytes(b'\0\5\26\7 Mac OS X')
    return tmp_path


@pytest.mark.slow
def test_all_data_sets_agree(folder, tmp_path):
    (tmp_path / 'list.txt').write_text('\n'.join(CLASSES))
    want = [(f'{name}/{j}.JPEG', i) for i, name in enumerate(CLASSES) for j in range(2)]
    for split in ('train', 'val'):
        datasets = [
            ImageFolder(str(folder), split, with_label=True),
            TinyImageNet(str(folder), split),
            ImageNetSubset(str(folder), split, class_list=str(tmp_path / 'list.txt')),
            DATASETS.build(
                dict(
                    type='ImageNet1K',
                    data_root=str(folder),
                    split=split,
                    metainfo=dict(classes=CLASSES),
                )
            ),
        ]
        for dataset in datasets:
            infos = [dataset.get_data_info(i) for i in range(len(dataset))]
            got = [(os.path.relpath(i['img_path'], folder / split), i['gt_label']) for i in infos]
            assert got == want and list(dataset.metainfo['classes']) == CLASSES, type(dataset)
        plain = ImageFolder(str(folder), split)
        assert [os.path.relpath(i['img_path'], folder / split) for i in plain] == [
            name for name, _ in want
        ]


def test_shards_have_the_same_images_and_numbers(folder, tmp_path):
    pytest.importorskip('webdataset')
    from mmjoint.datasets import WebDatasetShards, write_shards

    for split in ('train', 'val'):
        assert write_shards(folder / split, tmp_path / f's_{split}', with_label=True) == (6, 1)
        dataset = WebDatasetShards('*.tar', str(tmp_path / f's_{split}'), with_label=True)
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        got = [(info['img_path'].split('#')[1].split('/')[0], info['gt_label']) for info in infos]
        assert got == [(name, i) for i, name in enumerate(CLASSES) for _ in range(2)]


def test_evaluation_numbers_val_as_train(folder):
    """Even where val lacks a class."""
    for path in (folder / 'val' / CLASSES[0]).rglob('*'):
        if path.is_file():
            path.unlink()
    (folder / 'val' / CLASSES[0] / '.thumbs').rmdir()
    (folder / 'val' / CLASSES[0]).rmdir()
    crop = dict(type='JointCrop', scale=32)
    cfg = Config(dict(train_dataloader=dict(dataset=dict(pipeline=[crop]))))
    use_folder(cfg, folder)
    for name, labels in (
        ('knn_train_dataloader', [0, 0, 1, 1, 2, 2]),
        ('knn_val_dataloader', [1, 1, 2, 2]),
    ):
        dataset = DATASETS.build({**cfg[name].dataset, 'pipeline': []})
        assert [dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))] == labels


def test_a_folder_of_a_class_that_is_not_given(folder):
    with pytest.raises(ValueError, match='3 folders of classes, and 2 classes are given'):
        ImageFolder(
            str(folder), 'train', with_label=True, metainfo=dict(classes=['n01443537', 'other'])
        )


def test_links(folder, tmp_path):
    """Those to images and folders count, those that lead nowhere are told, circles end."""
    log = tmp_path / 'run.log'
    MMLogger.get_instance('links_test', log_file=str(log), log_level=logging.WARNING)
    inner = folder / 'train' / CLASSES[1]
    (inner / 'link.JPEG').symlink_to(inner / '0.JPEG')
    (inner / 'gone.JPEG').symlink_to('nowhere.JPEG')
    (inner / 'circle').symlink_to(folder / 'train')
    os.mkfifo(inner / 'pipe.JPEG')
    names = list_images(folder / 'train')
    assert len(names) == 7 and f'{CLASSES[1]}/link.JPEG' in names
    assert '2 images left out' in log.read_text() and 'gone.JPEG' in log.read_text()
    assert class_folders(folder / 'train') == CLASSES


def test_names_that_are_no_text(tmp_path):
    """Read, written into shards and told in the log."""
    pytest.importorskip('webdataset')
    from mmjoint.datasets import WebDatasetShards, write_shards
    from mmjoint.transforms import LoadImage

    folder = os.fsencode(tmp_path / 'photos')
    os.mkdir(folder)
    try:
        Image.new('RGB', (8, 8), (9, 9, 9)).save(tmp_path / 'a.png')
        os.rename(tmp_path / 'a.png', folder + b'/caf\xe9.png')
    except OSError:
        pytest.skip('the file system takes text only')
    log = tmp_path / 'run.log'
    MMLogger.get_instance('names_test', log_file=str(log), log_level=logging.WARNING)
    dataset = ImageFolder(os.fsdecode(folder), pipeline=[dict(type='LoadImage', on_error='raise')])
    assert dataset[0]['img'].mean() == 9
    assert write_shards(os.fsdecode(folder), tmp_path / 'shards') == (1, 1)
    shards = WebDatasetShards(
        '*.tar', str(tmp_path / 'shards'), pipeline=[dict(type='LoadImage', on_error='raise')]
    )
    assert shards[0]['img'].mean() == 9
    assert LoadImage()(dict(img_path=os.fsdecode(folder + b'/no\xe9.png'))) is None
    assert r'no\udce9.png' in log.read_text()
