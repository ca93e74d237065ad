import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.datasets import PackInputs

from mmjoint.transforms import JigsawPatches, JointView


def coordinates(height: int, width: int) -> np.ndarray:
    """An image whose pixels tell where they are: blue is y, green is x."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y, x, np.zeros_like(y)], axis=-1).astype(np.uint8)


def corners(img: np.ndarray, size: int) -> np.ndarray:
    """Where the patches' upper left corners were in the image; checks that they are whole."""
    patches = img.reshape(-1, size, size, 3)
    for patch in patches:
        whole = coordinates(size, size) + patch[0, 0]
        np.testing.assert_array_equal(patch, whole)
    return patches[:, 0, 0, :2].astype(int)


def test_one_whole_patch_of_every_cell_in_any_order():
    np.random.seed(0)
    transform = JigsawPatches()
    orders, offsets = [], []
    for _ in range(400):
        results = transform(dict(img=coordinates(255, 255)))
        assert results['img'].shape == (576, 64, 3) and results['img_shape'] == (576, 64)
        places = corners(results['img'], 64)
        cells, inside = places // 85, places % 85
        assert sorted(map(tuple, cells.tolist())) == [(r, c) for r in range(3) for c in range(3)]
        assert inside.max() <= 21
        orders.append(cells @ [3, 1])
        offsets.append(inside)
    # Every cell comes equally often in every place, every offset of 0..21 equally often.
    counts = np.stack([np.bincount(order, minlength=9) for order in np.array(orders).T])
    assert np.abs(counts - 400 / 9).max() < 5 * np.sqrt(400 / 9)
    drawn = np.bincount(np.concatenate(offsets).ravel(), minlength=22)
    assert np.abs(drawn - 7200 / 22).max() < 5 * np.sqrt(7200 / 22)


def test_other_sizes():
    places = corners(JigsawPatches(2, 30)(dict(img=coordinates(61, 90)))['img'], 30)
    assert sorted(map(tuple, (places // [30, 45]).tolist())) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_as_a_group_of_a_view_pipeline():
    """Two views and a jigsaw, packed: what InfoMin takes."""
    init_default_scope('mmpretrain')
    jigsaw = [
        dict(type='RandomResizedCrop', scale=255, crop_ratio_range=(0.6, 1.0), backend='pillow'),
        dict(type='JigsawPatches'),
    ]
    view = JointView([[dict(type='JointCrop', scale=224)], jigsaw], [2, 1])
    packed = PackInputs()(view(dict(img=coordinates(250, 250))))
    assert [tuple(x.shape) for x in packed['inputs']] == [(3, 224, 224)] * 2 + [(3, 576, 64)]
    assert packed['inputs'][2].dtype == torch.uint8


def test_bad_values():
    for kwargs in (dict(grid=0), dict(size=2.5), dict(grid=True)):
        with pytest.raises(ValueError, match=next(iter(kwargs))):
            JigsawPatches(**kwargs)
    with pytest.raises(ValueError, match='3 x 3 patches of 64 px .* 300 x 191 px'):
        JigsawPatches()(dict(img=np.zeros((191, 300, 3), np.uint8)))
