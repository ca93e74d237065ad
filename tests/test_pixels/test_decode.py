"""One decoder for all: limits from the header, damage that is named, and the same pixels."""

import io
import os
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from mmjoint.detection.torchvision.data import DetectionImages
from mmjoint.pixels import decode as decoder
from mmjoint.pixels.decode import MAX_PIXELS, decode, read_image
from mmjoint.transforms import LoadImage

SIDE = (96, 128)
RNG = np.random.default_rng(0)
PHOTO = cv2.resize(RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8), SIDE[::-1])[..., ::-1]
PHOTO = np.clip(PHOTO + RNG.integers(-20, 21, PHOTO.shape), 0, 255).astype(np.uint8)
RAMP = np.tile(np.linspace(0, 65535, 128), (96, 1)).astype(np.uint16)
BACKENDS = ['simplejpeg', 'OpenCV']


@pytest.fixture(params=BACKENDS)
def backend(request, monkeypatch):
    if request.param == 'OpenCV':
        monkeypatch.setattr(decoder, 'simplejpeg', None)
    elif decoder.simplejpeg is None:
        pytest.skip('no simplejpeg')


def saved(form: str = 'JPEG', mode: str = 'RGB', **kwargs: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PHOTO).convert(mode).save(file, form, **kwargs)
    return file.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(exif=exif, quality=90)


def scan_of(data: bytes) -> int:
    return data.find(b'\xff\xda') + 14


def opencv(suffix: str, pixels: np.ndarray) -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


KINDS = {
    'gray8.png': opencv('.png', (RAMP // 257).astype(np.uint8)),
    'gray16.png': opencv('.png', RAMP),
    'gray16.tif': opencv('.tif', RAMP),
    'gray16.ppm': opencv('.pgm', RAMP),
    'color16.png': opencv('.png', np.dstack([RAMP] * 3)),
    'color16.tif': opencv('.tif', np.dstack([RAMP] * 3)),
    'rgba16.png': opencv('.png', np.dstack([*[RAMP] * 3, np.full_like(RAMP, 65535)])),
    'a.jpg': saved(),
    'progressive.jpg': saved(progressive=True),
    'gray.jpg': saved(mode='L'),
    'cmyk.jpg': saved(mode='CMYK'),
    'turned.jpg': turned(),
    'palette.png': saved('PNG', 'P'),
    'one_bit.png': saved('PNG', '1'),
    'lzw.tif': saved('TIFF', compression='tiff_lzw'),
    'cmyk.tif': saved('TIFF', 'CMYK'),
    'a.webp': saved('WEBP'),
    'a.bmp': saved('BMP'),
}


@pytest.mark.parametrize('name', KINDS)
def test_pretraining_and_detection_see_the_same_pixels(tmp_path, name):
    """And a ramp of 16 bits is one of 8 bits from 0 to 255, not white."""
    path = tmp_path / name
    path.write_bytes(KINDS[name])
    ours = LoadImage(on_error='raise')(dict(img_path=str(path)))['img']
    height, width = ours.shape[:2]
    image = dict(id=1, file_name=str(path), width=width, height=height)
    annotation = dict(id=1, image_id=1, category_id=1, bbox=[2, 2, 50, 50], area=2500, iscrowd=0)
    coco = dict(images=[image], annotations=[annotation], categories=[dict(id=1, name='c')])
    pixels, _ = DetectionImages(coco, (min(height, width),), 2000, training=False)[0, (0,)]
    theirs = (pixels * 255).round().byte().permute(1, 2, 0).numpy()[..., ::-1]
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(ours, read_image(path))
    if '16' in name or '8' in name:
        assert np.abs(ours.astype(int) - (RAMP // 257)[..., None]).max() <= 1
        assert len(np.unique(ours)) == 128


@pytest.mark.parametrize('name', ['float.tif', 'int32.tif', 'float.pfm', 'colors.tif'])
def test_values_that_have_no_white_are_refused(tmp_path, name):
    pixels = (RAMP / 65535).astype(np.float32)
    if name == 'int32.tif':
        file = io.BytesIO()
        Image.fromarray(RAMP.astype(np.int32)).save(file, 'TIFF')
        data = file.getvalue()
    else:
        data = opencv('.' + name[-3:], np.dstack([pixels] * 3) if 'colors' in name else pixels)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(OSError, match=name):
        read_image(tmp_path / name)


DAMAGE = {
    'hole of zeros': lambda d, a: d[: a + 900] + bytes(512) + d[a + 1412 :],
    'hole of ones': lambda d, a: d[: a + 900] + b'\xff' * 512 + d[a + 1412 :],
    'foreign sector': lambda d, a: d[: a + 900] + os.urandom(512) + d[a + 1412 :],
    'end mark appended': lambda d, a: d[: a + 1500] + b'\xff\xd9',
    'cut': lambda d, a: d[: a + 1500],
    'no end mark': lambda d, a: d[:-2],
    'sector missing': lambda d, a: d[: a + 900] + d[a + 1412 :],
    'surplus before the end mark': lambda d, a: d[:-2] + bytes(range(1, 200)) + d[-2:],
}


@pytest.mark.parametrize('kind', ['plain', 'progressive', 'CMYK', 'turned', 'old JFIF'])
@pytest.mark.parametrize('damage', DAMAGE)
def test_damaged_jpegs_are_refused(backend, kind, damage):
    """Whatever warning comes first: libjpeg tells of that one alone."""
    whole = {
        'plain': saved(quality=90),
        'progressive': saved(quality=90, progressive=True),
        'CMYK': saved(mode='CMYK', quality=90),
        'turned': turned(),
        'old JFIF': with_odd_revision(saved(quality=90)),
    }[kind]
    assert decode(whole).shape[2] == 3
    with pytest.raises(OSError, match='[a-z]'):
        decode(DAMAGE[damage](whole, scan_of(whole)))


def with_odd_revision(data: bytes) -> bytes:
    place = data.find(b'JFIF\0') + 5
    return data[:place] + b'\x09' + data[place + 1 :]


def with_odd_scan(data: bytes) -> bytes:
    place = scan_of(data) - 2
    return data[:place] + b'\0' + data[place + 1 :]


@pytest.mark.parametrize(
    'change',
    [
        with_odd_revision,
        with_odd_scan,
        lambda d: d[:-2] + bytes(300) + d[-2:],
        lambda d: d + bytes(1000),
        lambda d: d[:2] + b'\xff\xff\xff' + d[2:],
    ],
    ids=['JFIF revision', 'SOS parameters', 'padding', 'bytes after the end', 'fill bytes'],
)
def test_jpegs_with_harmless_oddities_stay_welcome(backend, change):
    whole = saved(quality=90)
    np.testing.assert_array_equal(decode(change(whole)), decode(whole))


def png_header(width: int, height: int) -> bytes:
    parts = b'\x89PNG\r\n\x1a\n'
    for kind, content in (
        (b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)),
        (b'IDAT', zlib.compress(bytes(1000))),
        (b'IEND', b''),
    ):
        parts += struct.pack('>I', len(content)) + kind + content
        parts += struct.pack('>I', zlib.crc32(kind + content))
    return parts


def huge_jpeg(side: int) -> bytes:
    data = bytearray(saved())
    place = data.find(b'\xff\xc0') + 5
    data[place : place + 4] = struct.pack('>HH', side, side)
    return bytes(data)


def huge_bmp(side: int) -> bytes:
    data = bytearray(saved('BMP'))
    data[18:26] = struct.pack('<ii', side, side)
    return bytes(data)


@pytest.mark.parametrize(
    'data',
    [
        huge_jpeg(65_500),
        huge_jpeg(30_000),
        png_header(65_500, 65_500),
        huge_bmp(40_000),
        b'P6 50000 50000 255 ' + bytes(100),
    ],
    ids=['jpeg', 'jpeg of 30,000', 'png', 'bmp', 'ppm'],
)
def test_sizes_that_exhaust_are_refused_from_the_header(tmp_path, data):
    """In a process that may have 600 MiB more than it starts with."""
    path = tmp_path / 'huge.img'
    path.write_bytes(data)
    with pytest.raises(OSError, match=f'more than max_pixels={MAX_PIXELS}'):
        decode(data)
    assert LoadImage()(dict(img_path=str(path))) is None
    with pytest.raises(OSError, match='huge.img: .* more than max_pixels=9'):
        LoadImage(on_error='raise', max_pixels=9)(dict(img_path=str(path)))


def test_the_limit_is_an_argument(tmp_path):
    path = tmp_path / 'a.png'
    path.write_bytes(saved('PNG'))
    pixels = SIDE[0] * SIDE[1]
    for limit in (None, pixels):
        assert (
            LoadImage('raise', max_pixels=limit)(dict(img_path=str(path)))['img'].shape[:2] == SIDE
        )
    with pytest.raises(OSError, match=f'128 x 96 pixels, more than max_pixels={pixels - 1}'):
        LoadImage('raise', max_pixels=pixels - 1)(dict(img_path=str(path)))
    for wrong in (0, -1, 1.5, 'a'):
        with pytest.raises(ValueError, match='max_pixels'):
            LoadImage(max_pixels=wrong)


def test_a_jpeg_of_too_many_scans_is_refused():
    data = saved(progressive=True)
    place = data.find(b'\xff\xda')
    scan = data[place : data.find(b'\xff\xda', place + 2)]
    with pytest.raises(OSError, match='more than 100 scans'):
        decode(data[:place] + scan * 200 + data[place:])


@pytest.mark.parametrize('backend_name', ['cv2', 'pillow'])
def test_other_backends_are_no_way_round(tmp_path, backend_name):
    whole = saved(quality=90)
    path = tmp_path / 'a.jpg'
    path.write_bytes(DAMAGE['end mark appended'](whole, scan_of(whole)))
    with pytest.raises(OSError, match='a.jpg'):
        LoadImage(on_error='raise', imdecode_backend=backend_name)(dict(img_path=str(path)))


@pytest.mark.parametrize('damage', ['cut', 'zeros'])
def test_damaged_lzw_tiffs_are_refused(damage):
    data = saved('TIFF', compression='tiff_lzw')
    half = len(data) // 2
    with pytest.raises(OSError, match='[a-z]'):
        decode(data[:half] + (b'' if damage == 'cut' else bytes(2000) + data[half + 2000 :]))


def test_a_changed_byte_of_a_deflated_tiff_is_noticed():
    """libtiff does not look at the checksums of its strips; PHOTO is in one of them."""
    whole = saved('TIFF', compression='tiff_adobe_deflate')
    np.testing.assert_array_equal(decode(whole), PHOTO[..., ::-1])
    with Image.open(io.BytesIO(whole)) as image:
        (start,), (length,) = image.tag_v2[273], image.tag_v2[279]
    for place in RNG.integers(start, start + length, 40):
        data = bytearray(whole)
        data[place] ^= 1 << RNG.integers(8)
        if zlib_opens(bytes(data[start : start + length])):  # a bit without a meaning
            continue
        with pytest.raises(OSError, match='[a-z]'):  # Pillow's own, where its libtiff looks
            decode(bytes(data))


def zlib_opens(strip: bytes) -> bool:
    try:
        return len(zlib.decompress(strip)) == PHOTO.size
    except zlib.error:
        return False


@pytest.mark.parametrize('number', [8, 32946])
@pytest.mark.parametrize('rows', [1, 7, 96])
def test_whole_deflated_tiffs_are_read(number, rows):
    options = [cv2.IMWRITE_TIFF_COMPRESSION, number, cv2.IMWRITE_TIFF_ROWSPERSTRIP, rows]
    data = cv2.imencode('.tif', PHOTO, options)[1].tobytes()
    np.testing.assert_array_equal(decode(data), PHOTO)


@pytest.mark.slow
def test_standard_error_of_others_is_passed_on():
    """OpenCV's libjpeg warns on standard error only, which is caught for as long as it decodes."""
    code = (
        'import os, sys, threading, mmjoint.pixels.decode as d\n'
        'd.simplejpeg = None\n'
        'with d._STDERR as told: os.write(2, b"mine\\nCorrupt JPEG data: 1\\n")\n'
        'assert "Corrupt" in told.text\n'
        'os.write(2, b"after\\n")\n'
    )
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True)
    assert done.stderr.decode().splitlines()[-2:] == ['mine', 'after'], done.stderr


def test_healthy_photos_stay_welcome(shared_data, backend):
    folders = ('imagenet_jpegs', 'coco_mini/val2017')
    paths = [p for f in folders for p in sorted((shared_data / f).iterdir())[::5]]
    assert len(paths) > 80 and all(read_image(path).size for path in paths)
