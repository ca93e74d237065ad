"""The door: whatever way is chosen, what comes out is the same picture."""

import numpy as np
import pytest

from mmjoint.pixels import compiled, operations, plain


@pytest.fixture
def image() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.mark.parametrize('enabled', [True, False])
def test_boxes_that_the_loops_do_not_take_go_the_plain_way(image, monkeypatch, enabled):
    """Boxes of 4 columns and results of 8 pixels: from a deferred view and from an array alike."""
    if enabled:
        pytest.importorskip('numba')
    monkeypatch.setattr(compiled, 'ENABLED', enabled)
    for box, size in (((5, 6, 4, 40), (32, 32)), ((5, 6, 50, 40), (8, 8))):
        x, y, width, height = box
        cut = np.ascontiguousarray(image[y : y + height, x : x + width])
        want = plain.resize(cut, size, 'bilinear')
        for start in (image, operations.begin(image)):
            got = operations.to_array(operations.crop(start, box, size, 'bilinear'))
            np.testing.assert_array_equal(got, want)


def test_factors_that_the_loops_do_not_take_go_the_plain_way(image):
    for name, value in (('brightness', 17.0), ('blur', 61.0)):
        want = plain.OPERATIONS[name](image, value)
        for start in (image, operations.begin(image)):
            got = operations.to_array(operations.apply(start, [(name, value)]))
            np.testing.assert_array_equal(got, want)


def test_a_second_crop_cuts_what_the_first_one_drew(image):
    view = operations.crop(operations.begin(image), (3, 4, 60, 50), (48, 40), 'bilinear')
    first = operations.to_array(view).copy()
    got = operations.crop(view, (1, 2, 40, 36), (32, 33), 'bicubic')
    want = operations.resize(first[2:38, 1:41], (32, 33), 'bicubic')
    np.testing.assert_array_equal(operations.to_array(got), want)


def test_mirror_keeps_the_layout(image):
    planar = operations.finish(image)
    for img in (image, planar):
        got = operations.mirror(img)
        np.testing.assert_array_equal(got, image[:, ::-1])
        assert got.strides == img.strides
    np.testing.assert_array_equal(operations.mirror(image[..., 0]), image[:, ::-1, 0])
