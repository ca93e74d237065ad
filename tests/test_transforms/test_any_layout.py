"""View layouts of any kind: groups of any number of views, joint or not, of any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmjoint.pixels import operations
from mmjoint.transforms import JointCrop, JointView

groups = st.lists(
    st.tuples(st.integers(1, 4), st.booleans(), st.integers(8, 40)), min_size=1, max_size=4
)


def pipeline(joint: bool, size: int) -> list[dict]:
    if not joint:
        return [dict(type='Resize', scale=(size, size), backend='pillow')]
    # So far below 0 that every pair takes the two ends of the range.
    return [dict(type='JointCrop', scale=size, crop_ratio_range=(0.2, 0.8), beta=-1e6)]


@settings(max_examples=60, deadline=None)
@given(groups, st.integers(0, 2**32 - 1))
def test_views_come_in_the_order_of_their_groups_and_pair_up_in_order(layout, seed):
    config = dict(
        num_views=[num for num, _, _ in layout],
        transforms=[pipeline(joint, size) for _, joint, size in layout],
    )
    if any(joint and num % 2 for num, joint, _ in layout):
        with pytest.raises(ValueError, match='needs an even number of views'):
            JointView(**config)
        return
    img = np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    kept = img.copy()
    np.random.seed(seed)
    results = JointView(**config)(dict(img=img, img_shape=img.shape[:2]))
    np.testing.assert_array_equal(img, kept)
    views, records = iter(results['img']), iter(results['view_params'])
    for num, joint, size in layout:
        areas = []
        for _ in range(num):
            view, record = next(views), next(records)
            assert view.shape == (size, size, 3) and view.dtype == np.uint8
            if joint:
                ((name, params),) = record
                assert name == 'JointCrop'
                areas.append(params.area)
                again = JointCrop(size).apply(dict(img=operations.begin(img.copy())), params)
                np.testing.assert_array_equal(view, operations.finish(again['img']))
            else:
                assert record == []
        for first, second in zip(areas[::2], areas[1::2], strict=True):
            assert sorted((first, second)) == pytest.approx([0.2, 0.8], rel=1e-4)
    assert next(views, None) is None and next(records, None) is None
