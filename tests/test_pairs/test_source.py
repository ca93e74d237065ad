"""What is recorded of pairs is what happened, and many pairs follow the closed forms."""

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image, ImageFilter
from scipy import stats

from mmjoint.distributions import JointDistribution
from mmjoint.pairs.source import PairSource, pair_sets
from mmjoint.pairs.statistics import pair_statistics
from mmjoint.transforms import BlurParams, CropParams

SQUARE = dict(type='JointCrop', scale=32, crop_ratio_range=(0.2, 1.0), aspect_ratio_range=(1, 1))
BLUR = dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=0.5)
STOCK_CROP = dict(type='RandomResizedCrop', scale=20, crop_ratio_range=(0.2, 1.0), backend='pillow')
STOCK_BLUR = dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.5)


def config(views: dict, **dataset) -> Config:
    pipeline = [dict(type='LoadImageFromFile'), views, dict(type='PackInputs')]
    dataset = {'type': 'ImageFolder', 'data_root': 'nowhere', 'pipeline': pipeline, **dataset}
    return Config(dict(default_scope='mmpretrain', train_dataloader=dict(dataset=dataset)))


def joint(*pipelines: list, num_views=2, **kwargs) -> dict:
    return dict(type='JointView', num_views=num_views, transforms=list(pipelines), **kwargs)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3):
        image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / f'{i}.png')
    return tmp_path


@pytest.mark.parametrize('kind', ['MultiView', 'mmpretrain.MultiView', 'JointView'])
def test_stock_crops_and_blurs_are_recorded(folder, kind):
    """The recorded box and sigma, cut and blurred with Pillow, give the view."""
    stock = [[dict(STOCK_CROP), dict(STOCK_BLUR, prob=1.0)]]
    source = PairSource(config(dict(type=kind, num_views=2, transforms=stock)), folder)
    results = source.build_dataset()[0]
    photo = results['img']
    results = source.build_views().transform(results)
    for view, records in zip(results['img'], results['view_params'], strict=True):
        (name, box), (_, blur) = records
        assert name == 'RandomResizedCrop' and isinstance(box, CropParams)
        assert box.area == box.width * box.height / (40 * 50) and box.image_shape == (40, 50)
        cut = photo[box.y : box.y + box.height, box.x : box.x + box.width]
        image = Image.fromarray(cut).resize((20, 20), Image.BILINEAR)
        assert blur.applied
        image = image.filter(ImageFilter.GaussianBlur(blur.sigma))
        np.testing.assert_array_equal(view, np.asarray(image))


def test_a_stock_blur_that_does_nothing_is_recorded_so(folder):
    views = joint([dict(STOCK_CROP), dict(STOCK_BLUR, prob=0.0)])
    source = PairSource(config(views), folder)
    results = source.build_views().transform(source.build_dataset()[0])
    assert [records[1][1] for records in results['view_params']] == [BlurParams(0.0, False)] * 2


@pytest.mark.parametrize(
    'beta',
    [None, 0, pytest.param(2, marks=pytest.mark.slow), pytest.param(-2, marks=pytest.mark.slow)],
)
def test_crops_and_blurs_follow_the_closed_forms(beta):
    """10,000 pairs that always fit, so that what is drawn is what is recorded."""
    views = PairSource(config(joint([SQUARE, BLUR]))).build_views(
        {'JointCrop': beta, 'JointBlur': beta}
    )
    photo = dict(img=np.zeros((1000, 1000, 3), np.uint8))
    (drawn,) = pair_statistics(views, [photo], num_pairs=10_000)
    assert drawn.num_pairs == len(drawn.draws['area'].values) == 10_000 and drawn.views == (0, 1)
    assert len(drawn.draws['sigma'].values) == pytest.approx(
        2500, abs=4 * (10_000 * 0.25 * 0.75) ** 0.5
    )
    for draws, low, high in ((drawn.draws['area'], 0.2, 1.0), (drawn.draws['sigma'], 0.1, 2.0)):
        expected = JointDistribution(low, high, beta)
        result = stats.kstest(draws.values, expected.cdf)
        assert result.pvalue > 1e-3
        assert draws.kolmogorov_smirnov() == pytest.approx(result.statistic)
        grid = np.linspace(-1, 1, 9)
        np.testing.assert_allclose(draws.expected('density', grid), expected.density(grid))
    # The boxes are the drawn areas in whole pixels: sides of 447 to 1000, so 1/447 each at most.
    np.testing.assert_allclose(
        drawn.draws['area'].done, drawn.draws['area'].values, atol=4 * 0.5 / 447
    )


def test_distance_of_centers():
    """Of squares of area 1/4 the centers are uniform in the middle half of either side."""
    crop = dict(SQUARE, crop_ratio_range=(0.25, 0.25), beta=None)
    views = PairSource(config(joint([crop]))).build_views()
    photo = dict(img=np.zeros((1000, 1000, 3), np.uint8))
    (drawn,) = pair_statistics(views, [photo], num_pairs=10_000)
    rng = np.random.default_rng(1)
    expected = np.hypot(*(rng.random((2, 50_000)) - rng.random((2, 50_000)))) / 2
    assert stats.ks_2samp(drawn.draws['distance'].values, expected).pvalue > 1e-3


def test_choices_give_mixtures():
    """JointChoice: half of the pairs each; the density is that of what each pair was drawn from."""
    choice = dict(type='JointChoice', transforms=[[dict(SQUARE, beta=2)], [dict(SQUARE, beta=-2)]])
    views = PairSource(config(joint([choice]))).build_views()
    photo = dict(img=np.zeros((500, 500, 3), np.uint8))
    (drawn,) = pair_statistics(views, [photo], num_pairs=10_000)
    mixture = drawn.draws['area'].mixture()
    assert {source.beta for _, source in mixture} == {2, -2}
    assert sum(share for share, _ in mixture) == 1
    assert all(share == pytest.approx(0.5, abs=0.02) for share, _ in mixture)
    half = [JointDistribution(0.2, 1.0, beta) for beta in (2, -2)]
    result = stats.kstest(
        drawn.draws['area'].values, lambda t: (half[0].cdf(t) + half[1].cdf(t)) / 2
    )
    assert result.pvalue > 1e-3


def test_stock_views_have_statistics_too():
    stock = [dict(STOCK_CROP, aspect_ratio_range=(1, 1)), STOCK_BLUR]
    views = dict(type='MultiView', num_views=[1, 1], transforms=[stock, stock])
    photo = dict(img=np.zeros((1000, 1000, 3), np.uint8))
    (drawn,) = pair_statistics(PairSource(config(views)).build_views(), [photo], 10_000)
    for draws, low, high in ((drawn.draws['area'], 0.2, 1.0), (drawn.draws['sigma'], 0.1, 2.0)):
        cdf = JointDistribution(low, high, None).cdf
        assert len(draws.values) > 2000 and stats.kstest(draws.values, cdf).pvalue > 1e-3


def test_groups_have_statistics_of_their_own():
    local = dict(SQUARE, crop_ratio_range=(0.05, 0.4), beta=0)
    views = joint([dict(SQUARE, beta=None)], [local], num_views=[2, 4])
    photo = dict(img=np.zeros((400, 400, 3), np.uint8))
    first, second = pair_statistics(PairSource(config(views)).build_views(), [photo], 1000)
    assert (first.views, second.views) == ((0, 1), (2, 3))
    assert (first.num_pairs, second.num_pairs) == (1000, 2000)
    assert [d.draws['area'].mixture()[0][1].beta for d in (first, second)] == [None, 0]


@pytest.mark.parametrize(
    'num_views,pairs',
    [
        ([2], [[(0, 1)]]),
        ([2, 4], [[(0, 1)], [(2, 3), (4, 5)]]),
        ([1, 1], [[(0, 1)]]),
        ([1, 2], [[(1, 2)]]),
        ([3], [[(0, 1)]]),
        ([1], []),
    ],
)
def test_pair_sets(num_views, pairs):
    assert pair_sets(num_views) == pairs


def test_beta_goes_to_the_named_transforms_only():
    choice = dict(type='JointChoice', transforms=[[dict(SQUARE)], [dict(SQUARE), dict(BLUR)]])
    source = PairSource(config(joint([choice])))
    assert source.laws() == {'JointCrop.area': [0, 0], 'JointBlur.sigma': [0]}
    ((one,), (other, blur)) = source.build_views({'JointCrop': -1.5}).pipelines[0][0].pipelines
    assert [t.joint[0].law.beta for t in (one, other, blur)] == [-1.5, -1.5, 0]
    ((one,), _) = source.build_views().pipelines[0][0].pipelines
    assert one.area.law.beta == 0


def test_fixed_ratio_of_the_crops():
    views = PairSource(config(joint([SQUARE]))).build_views(fixed_ratio=('', 3))
    photo = dict(img=np.zeros((1000, 1000, 3), np.uint8))
    (drawn,) = pair_statistics(views, [photo], 500)
    np.testing.assert_allclose(np.abs(drawn.draws['area'].values), np.log(3), atol=1e-12)
    np.testing.assert_allclose(np.abs(drawn.draws['area'].done), np.log(3), atol=4 * 0.5 / 447)


def test_views_inside_a_wrapped_data_set(folder):
    inner = config(joint([SQUARE])).train_dataloader.dataset
    inner.data_root = str(folder)
    source = PairSource(
        Config(
            dict(
                train_dataloader=dict(dataset=dict(type='RepeatDataset', times=2, dataset=inner)),
                default_scope='mmpretrain',
            )
        )
    )
    dataset = source.build_dataset()
    assert len(dataset) == 6 and dataset[4]['img'].shape == (40, 50, 3)


def test_a_broken_photo_is_an_error(folder):
    (folder / '1.png').write_bytes(b'')
    dataset = PairSource(config(joint([SQUARE])), folder).build_dataset()
    assert dataset[0]['img'].shape == (40, 50, 3)
    with pytest.raises(OSError, match='1.png'):
        dataset[1]


@pytest.mark.parametrize(
    'action,message',
    [
        (lambda: PairSource(Config({})), 'no train_dataloader.dataset'),
        (lambda: PairSource(config(dict(type='Resize', scale=3))), 'no JointView or MultiView'),
        (
            lambda: PairSource(config(joint([SQUARE]))).build_views({'JointBlur': 0}),
            'the views hold no JointBlur',
        ),
        (
            lambda: PairSource(config(joint([STOCK_CROP]))).build_views(fixed_ratio=('', 2)),
            'the views hold no joint augmentation, such as JointCrop, to fix',
        ),
        (
            lambda: PairSource(config(joint([SQUARE]))).build_views(fixed_ratio=('JointCrop', 6)),
            'ratio must be from 1 to high / low = 5',
        ),
        (lambda: pair_statistics(None, []), 'at least one photo'),
    ],
)
def test_bad_input(action, message):
    with pytest.raises(ValueError, match=message):
        action()
