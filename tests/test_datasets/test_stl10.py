import numpy as np
import pytest
import torchvision
from mmpretrain.registry import DATASETS

from mmjoint.datasets import STL10

COUNTS = dict(train=4, test=3, unlabeled=5)


@pytest.fixture
def images() -> dict:
    """RGB images, (H, W, 3), with every pixel its own random value."""
    rng = np.random.default_rng(0)
    return {
        part: rng.integers(0, 256, (n, 96, 96, 3), dtype=np.uint8) for part, n in COUNTS.items()
    }


@pytest.fixture
def folder(tmp_path, images):
    """A small copy of the archive: planes of columns, labels from 1."""
    root = tmp_path / 'stl10_binary'
    root.mkdir()
    for part, pixels in images.items():
        # Written index by index from the description of the format, not by inverting the reader.
        planes = np.empty((len(pixels), 3, 96 * 96), np.uint8)
        for channel in range(3):
            for column in range(96):
                planes[:, channel, column * 96 : (column + 1) * 96] = pixels[:, :, column, channel]
        (root / f'{part}_X.bin').write_bytes(planes.tobytes())
    (root / 'train_y.bin').write_bytes(bytes([1, 10, 3, 2]))
    (root / 'test_y.bin').write_bytes(bytes([5, 5, 9]))
    return root


@pytest.mark.parametrize(
    ('split', 'labels'),
    [
        ('train', [0, 9, 2, 1]),
        pytest.param('test', [4, 4, 8], marks=pytest.mark.slow),
        pytest.param('unlabeled', [None] * 5, marks=pytest.mark.slow),
        ('train+unlabeled', [0, 9, 2, 1] + [None] * 5),
    ],
)
def test_pixels_and_labels(folder, images, split, labels):
    dataset = STL10(data_root=str(folder), split=split)
    expected = np.concatenate([images[part] for part in split.split('+')])
    assert len(dataset) == len(expected)
    infos = [dataset[i] for i in range(len(dataset))]
    for info, rgb in zip(infos, expected, strict=True):
        np.testing.assert_array_equal(info['img'], rgb[..., ::-1])
        assert info['img'].flags.c_contiguous
        assert info['img_shape'] == info['ori_shape'] == (96, 96)
    assert [info.get('gt_label') for info in infos] == labels


@pytest.mark.parametrize('split', ['train', 'test', 'unlabeled', 'train+unlabeled'])
def test_agrees_with_torchvision(folder, monkeypatch, split):
    # The checksums are those of the real files.
    monkeypatch.setattr(torchvision.datasets.STL10, '_check_integrity', lambda self: True)
    (folder / 'class_names.txt').write_text('\n'.join(STL10.METAINFO['classes']))
    theirs = torchvision.datasets.STL10(str(folder.parent), split=split)
    ours = STL10(data_root=str(folder), split=split)
    assert len(ours) == len(theirs)
    assert list(ours.metainfo['classes']) == theirs.classes
    for i, (image, label) in enumerate(theirs):
        np.testing.assert_array_equal(ours[i]['img'][..., ::-1], np.asarray(image))
        assert ours[i].get('gt_label', -1) == label


def test_names_and_pipeline(folder):
    dataset = DATASETS.build(
        dict(
            type='STL10',
            data_root=str(folder),
            split='train+unlabeled',
            pipeline=[dict(type='PackInputs')],
        )
    )
    packed = dataset[5]
    assert packed['inputs'].shape == (3, 96, 96)
    assert packed['data_samples'].img_path == 'unlabeled_X.bin[1]'
    assert 'gt_label' not in packed['data_samples']
    assert dataset[1]['data_samples'].gt_label.item() == 9


def test_wrong_split(folder):
    with pytest.raises(ValueError, match=r"split must be one of .*got 'val'"):
        STL10(data_root=str(folder), split='val')


@pytest.mark.parametrize('name', ['train_X.bin', 'train_y.bin'])
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf'stl10_binary/{name}: no such file'):
        STL10(data_root=str(folder), split='train')


@pytest.mark.parametrize('size', [0, 96 * 96 * 3 - 1, 96 * 96 * 3 * 4 + 1])
def test_wrong_size(folder, size):
    (folder / 'unlabeled_X.bin').write_bytes(bytes(size))
    with pytest.raises(ValueError, match=rf'unlabeled_X.bin: {size} bytes, expected a multiple'):
        STL10(data_root=str(folder), split='train+unlabeled')


def test_wrong_labels(folder):
    (folder / 'test_y.bin').write_bytes(bytes([1, 2]))
    with pytest.raises(ValueError, match='test_y.bin: 2 labels for the 3 images of test_X.bin'):
        STL10(data_root=str(folder), split='test')
    (folder / 'test_y.bin').write_bytes(bytes([0, 1, 2]))
    with pytest.raises(ValueError, match='test_y.bin: labels from 0 to 2, expected 1 to 10'):
        STL10(data_root=str(folder), split='test')
