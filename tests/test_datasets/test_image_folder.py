import cv2
import numpy as np
import pytest
import torchvision
from mmpretrain.registry import DATASETS

from mmjoint.datasets import ImageFolder


@pytest.fixture
def folder(tmp_path):
    names = ['b.PNG', 'a.jpg', 'deep/er/c.webp', 'deep/d.JPEG', 'e.tif', 'f.bmp', 'g.ppm', 'h.tiff']
    for value, name in enumerate(names):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        encoded = cv2.imencode(path.suffix.lower(), np.full((8, 8, 3), 30 * value, np.uint8))[1]
        path.write_bytes(encoded.tobytes())
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / '.hidden.png').write_bytes(b'no image')
    return tmp_path


def test_unlabelled(folder):
    dataset = ImageFolder(data_root=str(folder))
    names = [info['img_path'].removeprefix(f'{folder}/') for info in dataset]
    assert names == [
        'a.jpg', 'b.PNG', 'deep/d.JPEG', 'deep/er/c.webp', 'e.tif', 'f.bmp', 'g.ppm', 'h.tiff'
    ]  # fmt: skip
    assert not any('gt_label' in info for info in dataset)


def test_every_kind_is_decoded(folder):
    pipeline = [dict(type='LoadImage', on_error='raise'), dict(type='PackInputs')]
    dataset = DATASETS.build(dict(type='ImageFolder', data_root=str(folder), pipeline=pipeline))
    means = sorted(packed['inputs'].float().mean().item() for packed in dataset)
    np.testing.assert_allclose(means, np.arange(8) * 30, atol=1.5)  # JPEG and WebP lose a level


@pytest.mark.parametrize('prefix', ['', 'train'])
def test_labelled_agrees_with_torchvision(tmp_path, prefix):
    for name in ('dog/1.png', 'dog/2.jpg', 'cat/3.png', 'zebra/4.jpg'):
        path = tmp_path / prefix / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
    theirs = torchvision.datasets.ImageFolder(str(tmp_path / prefix))
    ours = ImageFolder(data_root=str(tmp_path), data_prefix=prefix, with_label=True)
    assert list(ours.CLASSES) == theirs.classes
    assert [(info['img_path'], info['gt_label']) for info in ours] == theirs.samples


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'/nowhere: no such folder of images'):
        ImageFolder(data_root=str(tmp_path / 'nowhere'))


def test_folder_without_images(tmp_path):
    (tmp_path / 'notes.txt').write_text('no image')
    with pytest.raises(ValueError, match=rf'{tmp_path}: no image in it \(looked for \.bmp, '):
        ImageFolder(data_root=str(tmp_path))


def test_labelled_folder_without_classes(folder, tmp_path_factory):
    flat = tmp_path_factory.mktemp('flat')
    (folder / 'a.jpg').rename(flat / 'a.jpg')
    with pytest.raises(ValueError, match=rf'{flat}: no image in its subfolders'):
        ImageFolder(data_root=str(flat), with_label=True)
