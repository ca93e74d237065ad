"""Pictures of pairs: what is drawn is what was recorded."""

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmjoint.transforms import CropParams
from mmjoint.visualization import draw_pair, sample_pairs
from mmjoint.visualization.pairs import VIEW_COLORS


def config(folder, pipeline: list) -> Config:
    dataset = dict(type='ImageFolder', data_root=str(folder), pipeline=pipeline)
    return Config(dict(custom_imports=['mmjoint'], train_dataloader=dict(dataset=dataset)))


def test_boxes_are_drawn_where_the_crops_were():
    source = np.full((180, 240, 3), 128, np.uint8)
    boxes = [
        CropParams(10, 20, 100, 60, 0.14, (180, 240)),
        CropParams(120, 5, 90, 150, 0.3, (180, 240)),
    ]
    views = [np.zeros((64, 64, 3), np.uint8)] * 2
    picture = draw_pair(source, views, [[('JointCrop', box)] for box in boxes], height=180)
    assert picture.shape == (180, 240 + 2 * (6 + 180), 3)
    for box, color in zip(boxes, VIEW_COLORS, strict=True):
        for x, y in (
            (box.x, box.y),
            (box.x + box.width - 1, box.y + box.height - 1),
            (box.x + box.width // 2, box.y),
        ):
            assert tuple(picture[y, x]) == color
        assert tuple(picture[box.y + box.height // 2, box.x + box.width // 2]) != color


def test_sampled_pairs_are_the_recorded_crops(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(
            tmp_path / f'{i}.png'
        )
    crop = dict(type='JointCrop', scale=(20, 20), beta=0)
    pipeline = [
        dict(type='LoadImage'),
        dict(type='JointView', num_views=2, transforms=[[crop]]),
        dict(type='PackInputs'),
    ]
    pairs = sample_pairs(config(tmp_path, pipeline), [2, 0])
    for i, (source, views, params) in zip([2, 0], pairs, strict=True):
        np.testing.assert_array_equal(
            source[..., ::-1], np.asarray(Image.open(tmp_path / f'{i}.png'))
        )
        for view, [(name, box)] in zip(views, params, strict=True):
            assert name == 'JointCrop'
            cut = source[box.y : box.y + box.height, box.x : box.x + box.width]
            want = Image.fromarray(cut).resize((20, 20), Image.BILINEAR)
            assert np.abs(view.astype(int) - np.asarray(want)).max() <= 1


def test_a_config_without_joint_view(tmp_path):
    with pytest.raises(ValueError, match='no JointView or MultiView'):
        sample_pairs(config(tmp_path, [dict(type='LoadImage')]), [0])


def test_another_photo_in_place_of_a_broken_one(tmp_path):
    Image.fromarray(np.full((40, 50, 3), 7, np.uint8)).save(tmp_path / 'a.png')
    (tmp_path / 'b.png').write_bytes(b'')
    crop = dict(type='JointCrop', scale=(20, 20))
    pipeline = [
        dict(type='LoadImage'),
        dict(type='JointView', num_views=2, transforms=[[crop]]),
        dict(type='PackInputs'),
    ]
    (source, views, _), *_ = sample_pairs(config(tmp_path, pipeline), [1])
    assert (source == 7).all() and len(views) == 2
    (tmp_path / 'a.png').unlink()
    with pytest.raises(OSError, match='b.png'):
        sample_pairs(config(tmp_path, pipeline), [0])
