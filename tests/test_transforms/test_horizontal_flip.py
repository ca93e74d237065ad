"""HorizontalFlip against NumPy and mmcv."""

import numpy as np
import pytest
from mmcv.transforms import RandomFlip

from mmjoint.pixels import compiled
from mmjoint.transforms import HorizontalFlip


def as_planes(img: np.ndarray) -> np.ndarray:
    return compiled.planes(img).transpose(1, 2, 0)


@pytest.mark.parametrize('layout', [np.ascontiguousarray, as_planes, lambda img: img[:, 2:-3]])
def test_pixels_are_numpys_and_mmcvs(images, layout):
    for img in images:
        img = layout(img)
        before = img.copy()
        got = HorizontalFlip(prob=1)(dict(img=img))
        want = RandomFlip(prob=1.0)(dict(img=img))
        np.testing.assert_array_equal(got['img'], before[:, ::-1])
        np.testing.assert_array_equal(got['img'], want['img'])
        assert (got['flip'], got['flip_direction']) == (want['flip'], want['flip_direction'])
        assert got['img'].strides[1] > 0
        np.testing.assert_array_equal(img, before)


@pytest.mark.parametrize('shape', [(5, 7), (5, 7, 1), (5, 7, 4)])
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_other_channels_and_types(shape, dtype):
    img = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    got = HorizontalFlip(prob=1)(dict(img=img))['img']
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, img[:, ::-1])


def test_probability():
    np.random.seed(0)
    img = np.arange(12, dtype=np.uint8).reshape(1, 4, 3)
    flips = [HorizontalFlip(prob=0.3)(dict(img=img))['flip'] for _ in range(4000)]
    assert np.mean(flips) == pytest.approx(0.3, abs=0.03)


def test_bad_probability():
    with pytest.raises(ValueError, match='prob'):
        HorizontalFlip(prob=1.5)
