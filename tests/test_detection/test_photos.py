"""Sizes of photos from their headers, and the cache of large sets."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmjoint.detection import photos
from mmjoint.detection.findings import Findings
from mmjoint.pixels.decode import read_image, read_size


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp', '.tif', '.webp'])
@pytest.mark.parametrize('orientation', [None, 3, 6, 8])
def test_size_is_that_of_the_decoded_image(
    suffix: str, orientation: int | None, tmp_path: Path
) -> None:
    if orientation and suffix not in ('.jpg', '.tif'):
        pytest.skip('the format is not turned')
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    path = tmp_path / f'photo{suffix}'
    options = dict(exif=exif) if orientation else {}
    Image.fromarray(np.zeros((30, 50, 3), dtype=np.uint8)).save(path, **options)
    height, width = read_image(path).shape[:2]
    assert read_size(path) == (width, height)
    assert {width, height} == {30, 50}


@pytest.mark.parametrize('content', [b'', b'hello', b'\xff\xd8\xff\xe0\x00\x10JFIF'])
def test_files_without_a_size_are_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / 'photo.jpg').write_bytes(content)
    with pytest.raises(OSError, match=r'photo\.jpg'):
        read_size(tmp_path / 'photo.jpg')


def test_a_size_behind_a_long_profile_is_found(tmp_path: Path) -> None:
    image = Image.fromarray(np.zeros((30, 50, 3), dtype=np.uint8))
    image.save(tmp_path / 'photo.jpg', icc_profile=bytes(200_000))
    assert read_size(tmp_path / 'photo.jpg') == (50, 30)


def test_headers_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(photos, '_WORTH_A_CACHE', 2)
    monkeypatch.setattr(photos, '_SETTLED', 0)
    read: list[str] = []

    def count(path: str, max_pixels: int) -> tuple[int, int]:
        read.append(Path(path).name)
        return read_size(path, max_pixels)

    monkeypatch.setattr(photos, 'read_size', count)
    images = []
    for number in range(3):
        path = tmp_path / f'{number}.png'
        Image.fromarray(np.zeros((30, 50, 3), dtype=np.uint8)).save(path)
        images.append(dict(id=number, file_name=str(path), width=50, height=30))

    def faults() -> list[str]:
        findings = Findings()
        photos.check_photos(dict(images=images), tmp_path / 'a.json', findings)
        return findings.faults

    assert faults() == [] and read == ['0.png', '1.png', '2.png']
    assert faults() == [] and len(read) == 3
    Image.fromarray(np.zeros((31, 50, 3), dtype=np.uint8)).save(tmp_path / '1.png')
    os.utime(tmp_path / '1.png', ns=(1, 1))
    (fault,) = faults()
    assert '50 x 30: the photo' in fault and '1.png has 50 x 31' in fault
    assert read[3:] == ['1.png']
    # Neither length nor time tells that this one has changed.
    before = os.stat(tmp_path / '2.png')
    content = bytearray((tmp_path / '2.png').read_bytes())
    content[23] = 60  # the last byte of the height
    (tmp_path / '2.png').write_bytes(content)
    os.utime(tmp_path / '2.png', ns=(before.st_atime_ns, before.st_mtime_ns))
    assert os.stat(tmp_path / '2.png')[6:9] == before[6:9]
    assert len(faults()) == 2 and read[4:] == ['2.png']
    # A damaged cache is no fault of the data.
    (cache,) = (tmp_path / 'cache/mmjoint/photos').iterdir()
    for text in ('{"a": [1', json.dumps({images[0]['file_name']: ['1', 2, 3, 4, 5]})):
        cache.write_text(text)
        assert len(faults()) == 2


def test_every_pixel_is_decoded_on_demand(tmp_path: Path) -> None:
    path = tmp_path / 'photo.jpg'
    noise = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:6000])
    coco = dict(images=[dict(id=1, file_name=str(path), width=120, height=90)])
    for every_pixel, count in ((False, 0), (True, 1)):
        findings = Findings()
        photos.check_photos(coco, 'a.json', findings, every_pixel=every_pixel)
        assert findings.number_of_faults == count
    assert 'photo.jpg' in findings.faults[0] and 'a.json' in findings.faults[0]


@pytest.mark.parametrize('cached', [False, True])
@pytest.mark.parametrize('every_pixel', [False, True])
def test_photos_larger_than_the_limit_are_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool, every_pixel: bool
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(photos, '_WORTH_A_CACHE', 1 if cached else 2000)
    path = tmp_path / 'photo.png'
    Image.fromarray(np.zeros((30, 50, 3), dtype=np.uint8)).save(path)
    coco = dict(images=[dict(id=1, file_name=str(path), width=50, height=30)])
    for limit, count in ((1500, 0), (1499, 1), (1500, 0)):
        findings = Findings()
        photos.check_photos(coco, 'a.json', findings, '', every_pixel, limit)
        assert findings.number_of_faults == count
        if count:
            assert (
                'photo.png: its header says 50 x 30 pixels, more than max_pixels=1499'
                in (findings.faults[0])
            )
