"""LoadImage gives the same pixels with simplejpeg as with OpenCV, and the same errors."""

import io

import numpy as np
import pytest
from PIL import Image

from mmjoint.pixels import decode as decoder
from mmjoint.transforms import LoadImage

from .conftest import made_image

simplejpeg = pytest.importorskip('simplejpeg')
RGB = made_image(151, 203)[..., ::-1]  # odd sides: chroma ends within a block


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list:
    """The images that simplejpeg has decoded."""
    images = []
    decode = simplejpeg.decode_jpeg

    def count(*args: object, **kwargs: object) -> np.ndarray:
        images.append(decode(*args, **kwargs))
        return images[-1]

    monkeypatch.setattr(decoder.simplejpeg, 'decode_jpeg', count)
    return images


def jpeg(mode: str = 'RGB', **kwargs: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RGB).convert(mode).save(file, 'JPEG', **kwargs)
    return file.getvalue()


def both(path) -> list[np.ndarray | str]:
    """What the two backends make of a file: pixels, or 'broken'."""
    found = []
    for backend in ('auto', 'cv2'):
        try:
            load = LoadImage(on_error='raise', imdecode_backend=backend)
            found.append(load(dict(img_path=str(path)))['img'])
        except OSError:
            found.append('broken')
    return found


def assert_same(path) -> None:
    a, b = both(path)
    assert type(a) is type(b), (a, b)
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('quality', [30, 75, 95])
@pytest.mark.parametrize('subsampling', [0, 1, 2])
@pytest.mark.parametrize('progressive', [False, True])
def test_plain_jpegs(tmp_path, decoded, quality, subsampling, progressive):
    path = tmp_path / 'a.jpg'
    path.write_bytes(jpeg(quality=quality, subsampling=subsampling, progressive=progressive))
    assert_same(path)
    assert len(decoded) == 1


@pytest.mark.parametrize(
    'mode, kwargs',
    [
        ('L', {}),
        ('RGB', dict(keep_rgb=True)),
        ('RGB', dict(restart_marker_blocks=3)),
        ('RGB', dict(icc_profile=bytes(70_000))),
        ('RGB', dict(comment=b'Exif')),
    ],
)
def test_other_jpegs_that_simplejpeg_reads(tmp_path, decoded, mode, kwargs):
    path = tmp_path / 'a.jpg'
    path.write_bytes(jpeg(mode, **kwargs))
    assert_same(path)
    assert len(decoded) == 1 and decoded[0].shape == RGB.shape


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('order', ['<', '>'])
def test_exif_turns_as_in_opencv(tmp_path, decoded, orientation, order):
    exif = Image.Exif()
    exif.endian = order
    exif[0x0112] = orientation
    exif[0x010F] = 'a camera'
    path = tmp_path / 'turned.jpg'
    path.write_bytes(jpeg(exif=exif.tobytes(), icc_profile=bytes(70_000)))
    assert_same(path)
    assert len(decoded) == 1
    side = RGB.shape[0] if orientation < 5 else RGB.shape[1]
    assert both(path)[0].shape[0] == side


def test_other_formats_go_to_opencv(tmp_path, decoded):
    Image.fromarray(RGB).save(tmp_path / 'png_in.JPEG', 'PNG')
    assert_same(tmp_path / 'png_in.JPEG')
    assert not decoded


def test_cmyk(tmp_path):
    """Four independent channels of every value: the conversion to RGB is one too."""
    image = np.random.default_rng(0).integers(0, 256, (64, 80, 4), dtype=np.uint8)
    path = tmp_path / 'cmyk.jpg'
    for size in ((80, 64), (320, 240)):
        Image.fromarray(image, 'CMYK').resize(size).save(path, quality=95)
        assert_same(path)


def test_damaged_jpegs(tmp_path):
    """Bytes that are wrong, missing or cut off: the same pixels or the same refusal."""
    data, rng = jpeg(quality=80), np.random.default_rng(0)
    path = tmp_path / 'a.jpg'
    kinds = set()
    for _ in range(150):
        damaged = np.frombuffer(data, np.uint8).copy()
        places = rng.integers(2, len(damaged) - 2, 2)
        damaged[places] = rng.integers(0, 256, 2)
        damaged = damaged.tobytes()
        if rng.random() < 0.3:
            damaged = damaged[: rng.integers(len(damaged))]
        path.write_bytes(damaged)
        assert_same(path)
        kinds.add(type(both(path)[0]))
    assert kinds == {np.ndarray, str}


def test_other_colors_and_no_simplejpeg(tmp_path, decoded, monkeypatch):
    path = tmp_path / 'a.jpg'
    path.write_bytes(jpeg())
    gray = LoadImage(on_error='raise', color_type='grayscale')(dict(img_path=str(path)))['img']
    assert gray.ndim == 2 and not decoded
    monkeypatch.setattr(decoder, 'simplejpeg', None)
    assert_same(path)
    assert not decoded


def test_real_photos(shared_data, decoded):
    photos = sorted((shared_data / 'imagenet_jpegs').glob('*.JPEG'))
    for path in photos[::3]:
        assert_same(path)
    assert len(decoded) > len(photos) // 4
