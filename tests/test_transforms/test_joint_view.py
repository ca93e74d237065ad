"""JointView: MultiView's contract, pairs, sharing and copies, records and replay, bad input."""

import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS

import mmjoint  # noqa: F401
from mmjoint.transforms import HorizontalFlip, JointBlur, JointCrop, JointView

from .conftest import made_image

CROP = dict(type='JointCrop', scale=32, crop_ratio_range=(0.2, 1.0), beta=0)
STOCK_VIEWS = [
    dict(type='RandomResizedCrop', scale=32, backend='pillow'),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomApply',
        transforms=[dict(type='ColorJitter', brightness=0.8, contrast=0.8, saturation=0.8)],
        prob=0.8,
    ),
    dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.5),
]


def build(transforms: list, num_views: int | list[int] = 2, kind: str = 'JointView'):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return TRANSFORMS.build(dict(type=kind, num_views=num_views, transforms=transforms))


def views_of(view: JointView, img: np.ndarray, seed: int = 0) -> dict:
    np.random.seed(seed)
    return view(dict(img=img, img_path='a.jpg'))


class Scribble(BaseTransform):
    """Writes into the image in place, as stock RandomErasing does."""

    def transform(self, results: dict) -> dict:
        results['img'][:] = 0
        return results


class Drop(BaseTransform):
    """Drops the image, as mmcv's pipelines do with None."""

    def transform(self, results: dict) -> None:
        return None


@pytest.mark.parametrize('num_views', [2, [2, 3]])
def test_a_multi_view_config_gives_the_same_pixels(num_views):
    """Stock transforms only: same seed, same draws, so the views equal MultiView's."""
    groups = 1 if num_views == 2 else 2
    # With one transform a group, the views draw in MultiView's order.
    transforms = [[STOCK_VIEWS[0]]] * groups
    img = made_image()
    ours = views_of(build(transforms, num_views), img)['img']
    stock = views_of(build(transforms, num_views, 'MultiView'), img)['img']
    assert len(ours) == len(stock)
    for mine, theirs in zip(ours, stock, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_whole_stock_config_works_unchanged():
    result = views_of(build([STOCK_VIEWS]), made_image())
    assert [v.shape for v in result['img']] == [(32, 32, 3)] * 2
    assert all(v.dtype == np.uint8 for v in result['img'])
    assert result['img_path'] == 'a.jpg'


def test_views_of_torchvisions_transforms():
    """mmpretrain's torchvision/... transforms work on PIL images and give tensors."""
    views = [
        dict(type='NumpyToPIL', to_rgb=True),
        dict(type='torchvision/Resize', size=16),
        dict(type='torchvision/PILToTensor'),
    ]
    ours = views_of(build([views]), made_image())['img']
    stock = views_of(build([views], kind='MultiView'), made_image())['img']
    assert len(ours) == 2 and ours[0].shape[0] == 3
    for mine, theirs in zip(ours, stock, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_views_pair_up_in_order_and_record_what_was_drawn():
    view = build([[CROP, dict(type='JointBlur', beta=0, prob=1.0)], [CROP]], [4, 2])
    result = views_of(view, made_image())
    assert [len(params) for params in result['view_params']] == [2, 2, 2, 2, 1, 1]
    # The same pairs drawn by hand, in JointView's order: transform by transform, pair by pair.
    np.random.seed(0)
    for group, start, num in ((view.pipelines[0], 0, 4), (view.pipelines[1], 4, 2)):
        for k, transform in enumerate(group):
            for i in range(start, start + num, 2):
                pair = transform.sample(dict(img=made_image()))
                recorded = [result['view_params'][i + j][k] for j in range(2)]
                assert recorded == [(type(transform).__name__, p) for p in pair]


@pytest.mark.usefixtures('each_way')
@pytest.mark.parametrize('base', [JointCrop, JointBlur, HorizontalFlip])
def test_whoever_looks_at_pixels_gets_them(base):
    """A subclass of a transform that puts its work off, and a transform of one's own after it."""
    seen = []

    class Look(base):
        def __call__(self, results: dict) -> dict:
            seen.append(results['img'])
            return super().__call__(results)

        def apply(self, results: dict, params: object) -> dict:
            seen.append(results['img'])
            return super().apply(results, params)

    class Darken(BaseTransform):
        def transform(self, results: dict) -> dict:
            seen.append(results['img'])
            results['img'] = results['img'] // 2
            return results

    img = made_image()
    crop, flip = JointCrop(64), HorizontalFlip(0.5)
    rest = [] if base is JointCrop else [Look()]
    crop = Look(64) if base is JointCrop else crop
    views = views_of(JointView([[crop, flip, *rest, Darken(), JointBlur(prob=1.0)]], 2), img)['img']
    assert len(seen) == 4 and all(isinstance(array, np.ndarray) for array in seen)
    plain = [JointCrop(64), flip, *[base()] * len(rest), Darken(), JointBlur(prob=1.0)]
    want = views_of(JointView([plain], 2), img)['img']
    np.testing.assert_array_equal(views, want)


@pytest.mark.usefixtures('each_way')
def test_recorded_parameters_replay_to_the_same_pixels(images):
    view = build(
        [
            [
                CROP,
                dict(type='JointColor', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1),
                dict(type='JointBlur', beta=0, prob=0.5),
            ]
        ]
    )
    by_name = {type(t).__name__: t for t in view.pipelines[0]}
    for seed, img in enumerate(images):
        result = views_of(view, img, seed)
        for pixels, params in zip(result['img'], result['view_params'], strict=True):
            again = dict(img=img)
            for name, drawn in params:
                again = by_name[name].apply(again, drawn)
            np.testing.assert_array_equal(again['img'], pixels)


def test_numpy_seed_reproduces():
    view = build([[CROP, dict(type='RandomFlip', prob=0.5)]])
    first, second = views_of(view, made_image(), 5), views_of(view, made_image(), 5)
    for a, b in zip(first['img'], second['img'], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures('each_way')
@pytest.mark.parametrize('pipeline', [[Scribble()], [CROP, Scribble()]])
def test_the_source_image_is_never_written(pipeline):
    img = made_image(32, 32)
    before = img.copy()
    result = views_of(build([pipeline]), img)
    np.testing.assert_array_equal(img, before)
    assert not any(np.shares_memory(v, img) for v in result['img'])


@pytest.mark.usefixtures('each_way')
def test_pack_inputs_takes_the_views_as_they_are():
    """The same tensors as from plain arrays, without another copy."""
    result = views_of(build([[CROP, dict(type='RandomFlip', prob=0.5)]]), made_image())
    plain = [np.ascontiguousarray(view) for view in result['img']]
    pack = TRANSFORMS.build(dict(type='PackInputs'))
    packed = pack(dict(result))['inputs']
    for tensor, view, array in zip(packed, result['img'], plain, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), array.transpose(2, 0, 1))
        assert np.shares_memory(tensor.numpy(), view)


@pytest.mark.usefixtures('each_way')
@pytest.mark.parametrize('direction', ['horizontal', 'vertical', 'diagonal'])
def test_stock_flips_keep_their_pixels(direction):
    """What JointView does for speed after RandomFlip changes no pixel."""
    img = made_image(30, 40)
    flip = dict(type='RandomFlip', prob=1.0, direction=direction)
    flipped = {'horizontal': img[:, ::-1], 'vertical': img[::-1], 'diagonal': img[::-1, ::-1]}
    for view in views_of(build([[flip]]), img)['img']:
        np.testing.assert_array_equal(view, flipped[direction])
    for view in views_of(build([[flip, dict(CROP, crop_ratio_range=(1, 1), beta=None)]]), img)[
        'img'
    ]:
        assert view.shape == (32, 32, 3)


def test_a_dropped_view_drops_the_image():
    assert views_of(build([[CROP, Drop()]]), made_image()) is None
    per_view = dict(type='PerView', transforms=[[], [Drop()]])
    assert views_of(build([[CROP, per_view]]), made_image()) is None


def test_per_view_treats_each_side_alone():
    per_view = dict(type='PerView', transforms=[[], [Scribble()]])
    result = views_of(build([[CROP, per_view]], 4), made_image())
    assert [bool(v.any()) for v in result['img']] == [True, False, True, False]


def test_joint_choice_takes_one_pipeline_for_both_views():
    choice = dict(
        type='JointChoice',
        prob=[0.25, 0.75],
        transforms=[[CROP], [CROP, dict(type='JointBlur', prob=1.0)]],
    )
    view = build([[choice]])
    np.random.seed(0)
    lengths = [
        [len(params) for params in view(dict(img=made_image(40, 40)))['view_params']]
        for _ in range(800)
    ]
    assert all(first == second for first, second in lengths)
    # 4 standard errors of a proportion of 0.75 in 800
    assert np.mean([first == 2 for first, _ in lengths]) == pytest.approx(0.75, abs=0.062)


def test_registered_in_the_root_scope():
    config = dict(
        type='JointView', num_views=2, transforms=[[CROP, dict(type='RandomFlip', prob=0.5)]]
    )
    with DefaultScope.overwrite_default_scope('mmengine'):
        assert isinstance(ROOT_TRANSFORMS.build(config), JointView)


def test_custom_imports_registers(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text("custom_imports = dict(imports=['mmjoint'])\n")
    Config.fromfile(path)
    assert TRANSFORMS.get('JointView') is JointView


@pytest.mark.parametrize(
    'transforms,num_views,error,word',
    [
        ([[CROP]], 3, ValueError, 'even number'),
        ([[CROP], [CROP]], [2, 1], ValueError, 'even number'),
        ([[CROP]], [2, 2], ValueError, 'one number for each'),
        ([[CROP], [CROP]], 2, ValueError, 'one number for each'),
        ([[CROP]], 0, ValueError, 'at least 1'),
        ([[CROP]], 2.0, TypeError, 'num_views'),
        ([CROP], 2, TypeError, 'list of pipelines'),
        ([[dict(type='RandomApply', transforms=[CROP])]], 2, TypeError, 'RandomApply'),
        ([[dict(type='PerView', transforms=[[CROP], []])]], 2, TypeError, 'PerView'),
        ([[dict(type='PerView', transforms=[[]])]], 2, ValueError, 'two pipelines'),
        ([[dict(type='JointChoice', transforms=[])]], 2, ValueError, 'at least one'),
        ([[dict(type='JointChoice', transforms=[[CROP]], prob=[0.5])]], 2, ValueError, 'sum to 1'),
        ([[dict(CROP, betta=0)]], 2, TypeError, 'betta'),
        ([[dict(type='JointCorp')]], 2, KeyError, 'JointCorp'),
    ],
)
def test_bad_input_is_refused_at_construction(transforms, num_views, error, word):
    with pytest.raises(error, match=word):
        build(transforms, num_views)


def test_a_joint_transform_outside_joint_view_says_so():
    for config in (CROP, dict(type='JointBlur'), dict(type='JointColor')):
        with pytest.raises(TypeError, match='inside JointView'):
            TRANSFORMS.build(config)(dict(img=made_image()))
    with pytest.raises(TypeError, match='inside JointView'):
        build([[CROP]], kind='MultiView')(dict(img=made_image()))
