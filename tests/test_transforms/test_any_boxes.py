"""Crop boxes of images of any size and settings of any kind, as hypothesis finds them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmjoint.transforms import JointCrop

sides = st.integers(1, 3000)
ranges = st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).filter(lambda ends: ends[0] < ends[1])
aspects = st.tuples(st.floats(0.1, 1), st.floats(1, 10))
betas = st.none() | st.floats(-8, 8)


@settings(max_examples=150, deadline=None)
@given(
    sides, sides, ranges, aspects, betas, st.sampled_from(['uniform', 'center_suppressed']),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_a_box_lies_in_the_image_and_has_its_area_or_is_the_largest(
    width, height, area_range, aspect_range, beta, position, seed
):
    crop = JointCrop(32, area_range, aspect_range, beta=beta, position=position)
    np.random.seed(seed)
    for box in crop.sample(dict(img=np.broadcast_to(np.uint8(0), (height, width, 3)))):
        assert box.x >= 0 and box.width > 0 and box.x + box.width <= width
        assert box.y >= 0 and box.height > 0 and box.y + box.height <= height
        assert area_range[0] <= box.area <= area_range[1]
        # Rounding moves each side by half a pixel at most.
        low, high = aspect_range
        assert box.width <= max(1, box.height * high + (1 + high) / 2)
        assert box.height <= max(1, box.width / low + (1 + 1 / low) / 2)
        off = abs(box.width * box.height - box.area * width * height)
        if off > (box.width + box.height) / 2 + 0.25:  # none fitted: the largest one, in the middle
            assert box.width == width or box.height == height
            assert box.x == (width - box.width) // 2 and box.y == (height - box.height) // 2


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(*[st.floats(0, 1)] * 4), ranges, st.integers(0, 2**32 - 1), st.integers(8, 500),
    st.integers(8, 500),
)  # fmt: skip
def test_a_crop_around_a_semantic_box_is_centered_in_it_where_the_image_allows(
    corners, area_range, seed, width, height
):
    x0, x1 = sorted(corners[:2])
    y0, y1 = sorted(corners[2:])
    crop = JointCrop(32, area_range, (0.9, 1.1), position='semantic')
    results = dict(
        img=np.broadcast_to(np.uint8(0), (height, width, 3)), semantic_box=(x0, y0, x1, y1)
    )
    np.random.seed(seed)
    for box in crop.sample(results):
        off = abs(box.width * box.height - box.area * width * height)
        whole = box.width == width or box.height == height
        middle = (width - box.width) // 2, (height - box.height) // 2
        if off > (box.width + box.height) / 2 + 0.25 or (whole and (box.x, box.y) == middle):
            continue  # none fitted: the largest one, in the middle
        for start, size, extent, low, high in (
            (box.x, box.width, width, x0, x1),
            (box.y, box.height, height, y0, y1),
        ):
            middle = start + size / 2
            inside = extent * low - 1 <= middle <= extent * high + 1
            assert inside or start in (0, extent - size)


@pytest.mark.parametrize('aspect_range', [(0.5, 1), (1, 2)])
def test_rounding_is_the_only_way_out_of_the_aspect_range(aspect_range):
    """A strip of an image, in which no box of the range's area fits."""
    crop = JointCrop(32, (0.9, 1.0), aspect_range)
    np.random.seed(0)
    for box in crop.sample(dict(img=np.zeros((1000, 10, 3), np.uint8))):
        assert box.width == 10 and box.height == 10 / aspect_range[0]
