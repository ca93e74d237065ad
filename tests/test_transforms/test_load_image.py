"""LoadImage on every kind of file that a folder of photos holds, and on broken ones."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.logging import MMLogger
from mmpretrain.registry import DATASETS
from PIL import Image
from torch.utils.data import DataLoader

from mmjoint.transforms import LoadImage

from .conftest import made_image

RGB = made_image()[..., ::-1]


def save(path, mode: str, **kwargs):
    """Save the test image in a Pillow mode; return it as Pillow's RGB sees the file."""
    if mode == 'I;16':
        gray = np.asarray(Image.fromarray(RGB).convert('L'))
        Image.fromarray(gray.astype(np.uint16) * 257).save(path)
        return np.repeat(gray[..., None], 3, axis=2)
    Image.fromarray(RGB).convert(mode).save(path, **kwargs)
    return np.asarray(Image.open(path).convert('RGB'))


@pytest.mark.parametrize(
    'name,mode,tolerance',
    [
        ('a.jpg', 'RGB', 3),  # two JPEG decoders
        ('a.png', 'RGB', 0),
        ('gray.jpg', 'L', 3),
        ('gray.png', 'L', 0),
        ('one_bit.png', '1', 0),
        ('palette.png', 'P', 0),
        ('rgba.png', 'RGBA', 0),
        ('sixteen.png', 'I;16', 1),
        ('a.bmp', 'RGB', 0),
        ('a.webp', 'RGB', 3),
        ('a.tif', 'RGB', 0),
        ('cmyk.jpg', 'CMYK', 6),
    ],
)
def test_kinds_of_files(tmp_path, name, mode, tolerance):
    path = tmp_path / name
    want = save(path, mode)
    got = LoadImage(on_error='raise')(dict(img_path=str(path)))['img']
    assert got.shape == RGB.shape and got.dtype == np.uint8
    error = np.abs(got[..., ::-1].astype(int) - want)
    assert np.percentile(error, 99) <= tolerance


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to show
    path = tmp_path / 'turned.png'
    Image.fromarray(RGB).save(path, exif=exif)
    got = LoadImage(on_error='raise')(dict(img_path=str(path)))['img']
    np.testing.assert_array_equal(got[..., ::-1], np.rot90(RGB, -1))


def broken_files(folder):
    """Files that are empty, cut short, or something else, and a missing one."""
    Image.fromarray(RGB).save(folder / 'whole.jpg', quality=95)
    Image.fromarray(RGB).save(folder / 'whole.png')
    jpeg, png = ((folder / f'whole.{ext}').read_bytes() for ext in ('jpg', 'png'))
    for name, data in {
        'empty.jpg': b'',
        'half.jpg': jpeg[: len(jpeg) // 2],
        'last_byte_missing.jpg': jpeg[:-2],
        'half.png': png[: len(png) // 2],
        'text.jpg': b'not an image at all',
        'header_only.png': png[:20] + struct.pack('>I', 0),
    }.items():
        (folder / name).write_bytes(data)
        yield folder / name
    yield folder / 'missing.jpg'


def test_broken_files_are_named_and_skipped(tmp_path):
    """Each is named once in the run's log file, with its number."""
    log = tmp_path / 'run.log'
    MMLogger.get_instance('load_image_test', log_file=str(log))
    load = LoadImage()
    for path in broken_files(tmp_path):
        for _ in range(2):
            assert load(dict(img_path=str(path))) is None
    lines = log.read_text().splitlines()
    for number, (path, line) in enumerate(zip(broken_files(tmp_path), lines, strict=True), 1):
        assert 'WARNING' in line and f'broken image {path}:' in line and f'number {number} ' in line


def test_each_broken_file_is_named_once_by_all_workers(tmp_path):
    """Both workers meet every file; ``broken_images.txt`` and the log have each once."""
    log = tmp_path / 'run.log'
    MMLogger.get_instance('load_image_workers', log_file=str(log))
    paths = [f'{tmp_path}/{i}.jpg' for i in range(8)]
    order = [*range(8), *range(1, 8), 0]
    load = LoadImage()
    dataset = [dict(img_path=path) for path in paths]
    loader = DataLoader(
        dataset,
        sampler=order,
        num_workers=2,
        collate_fn=lambda batch: load(batch[0]),
        multiprocessing_context='fork',
    )
    assert list(loader) == [None] * 16
    for file in (log, tmp_path / 'broken_images.txt'):
        lines = file.read_text().splitlines()
        assert len(lines) == 8
        assert all(sum(f'broken image {path}:' in line for line in lines) == 1 for path in paths)


def test_broken_files_are_errors_if_asked(tmp_path):
    load = LoadImage(on_error='raise')
    for path in broken_files(tmp_path):
        with pytest.raises(OSError, match=path.name):
            load(dict(img_path=str(path)))


def test_a_data_set_goes_round_a_broken_file(tmp_path):
    list(broken_files(tmp_path))
    (tmp_path / 'missing.jpg').unlink(missing_ok=True)
    dataset = DATASETS.build(
        dict(
            type='CustomDataset',
            data_root=str(tmp_path),
            with_label=False,
            pipeline=[dict(type='LoadImage')],
        )
    )
    shapes = {dataset[i]['img'].shape for i in range(len(dataset))}
    assert shapes == {RGB.shape}


def test_a_jpeg_with_bytes_after_its_end_is_whole(tmp_path):
    path = tmp_path / 'padded.jpg'
    Image.fromarray(RGB).save(path)
    path.write_bytes(path.read_bytes() + bytes(1000))
    assert LoadImage(on_error='raise')(dict(img_path=str(path)))['img'].shape == RGB.shape


def test_unknown_switch():
    with pytest.raises(ValueError, match='on_error'):
        LoadImage(on_error='ignore')


def test_decodes_as_stock_load_image_from_file(shared_data):
    """Real photos, pixel by pixel."""
    photos = sorted(map(str, (shared_data / 'imagenet_jpegs').glob('*.JPEG')))[::10]
    assert photos
    for path in photos:
        ours, stock = (
            load(dict(img_path=path)) for load in (LoadImage('raise'), LoadImageFromFile())
        )
        assert np.array_equal(ours['img'], stock['img'])
        assert ours['ori_shape'] == stock['ori_shape']


def test_keeps_decoded_images_up_to_a_size(tmp_path):
    """Two images of 12 kB fit into 0.025 MiB, a third does not; later changes are not kept."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(3)]
    paths = [str(tmp_path / f'{i}.png') for i in range(3)]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(path, image)
    load = LoadImage(keep_mib=0.025)
    for path, image in zip(paths, images, strict=True):
        loaded = load(dict(img_path=path))['img']
        assert np.array_equal(loaded, image)
        loaded[:] = 0
        Path(path).unlink()
    for path, image in zip(paths[:2], images, strict=False):
        assert np.array_equal(load(dict(img_path=path))['img'], image)
    assert load(dict(img_path=paths[2])) is None
    with pytest.raises(ValueError, match='keep_mib must not be negative, got -1'):
        LoadImage(keep_mib=-1)
