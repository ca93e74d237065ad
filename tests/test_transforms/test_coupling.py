"""JointView(coupling=rho): a Gaussian copula between difficulties; each keeps its distribution."""

import math

import numpy as np
import pytest
from scipy import stats

from mmjoint.distributions import JointDistribution
from mmjoint.pairs.statistics import pair_statistics
from mmjoint.transforms import JointView

PHOTO = dict(img=np.zeros((64, 64, 3), np.uint8))


def views(rho, beta=0.0, num_views=2):
    pipeline = [
        dict(type='JointCrop', scale=32, crop_ratio_range=(0.2, 1.0), beta=beta),
        dict(type='JointBlur', prob=1.0, beta=0.5),
        dict(type='JointColor', brightness=0.4, hue=0.1, beta=dict(hue=-1)),
    ]
    return JointView([pipeline], num_views, coupling=rho)


@pytest.mark.parametrize(
    'rho,beta',
    [
        (0.8, 0),
        (-0.8, -2),
        # Uncoupled: the fast tests of pairs.statistics and of the coupled configs see these too.
        pytest.param(0, 2, marks=pytest.mark.slow),
        pytest.param(None, 0, marks=pytest.mark.slow),
    ],
)
def test_distributions_stay_and_ranks_correlate(rho, beta):
    """Ranks correlate by 6 / pi asin(rho / 2), the leading quantity's with all others'."""
    num = 6_000
    (drawn,) = pair_statistics(views(rho, beta), [PHOTO], num, seed=1)
    t = {name: draws.values for name, draws in drawn.draws.items()}
    laws = dict(
        area=JointDistribution(0.2, 1.0, beta),
        sigma=JointDistribution(0.1, 2.0, 0.5),
        hue=JointDistribution(-0.1, 0.1, -1, space='difference'),
        brightness=JointDistribution(0.6, 1.4, None),
    )
    for name, law in laws.items():
        assert stats.kstest(t[name], law.cdf).pvalue > 1e-3
    size = {name: np.abs(values) for name, values in t.items()}
    rho = rho or 0.0
    for first, second, own in (
        ('area', 'sigma', rho),
        ('area', 'hue', rho),
        ('sigma', 'hue', rho**2),
        ('area', 'brightness', 0.0),
    ):
        want = 6 / math.pi * math.asin(own / 2)
        assert stats.spearmanr(size[first], size[second])[0] == pytest.approx(want, abs=0.045)
    # The signs stay independent: which view is the harder one in what.
    assert abs(np.mean(np.sign(t['area'] * t['sigma']))) < 4 / math.sqrt(num)


def test_two_pairs_of_a_group_are_independent():
    np.random.seed(0)
    made = [views(1.0, num_views=4)(dict(PHOTO))['view_params'] for _ in range(60)]
    size = []
    for params in made:
        for first, second in (params[:2], params[2:]):
            area, sigma = (
                abs(math.log(getattr(second[i][1], name) / getattr(first[i][1], name)))
                for i, name in enumerate(('area', 'sigma'))
            )
            size.append((area, sigma))
    area, sigma = np.array(size).T
    assert stats.spearmanr(area, sigma)[0] == pytest.approx(1)
    assert abs(stats.spearmanr(area[::2], area[1::2])[0]) < 0.5


@pytest.mark.parametrize('rho', [1.5, 'hard', True])
def test_rho_out_of_bounds(rho):
    with pytest.raises(ValueError, match=r'coupling must be a correlation in \[-1, 1\]'):
        views(rho)


def test_nothing_to_couple():
    pipeline = [dict(type='JointCrop', beta=0), dict(type='JointBlur', beta=None)]
    with pytest.raises(ValueError, match='needs two quantities with a beta .* there is: area'):
        JointView([pipeline], 2, coupling=0.5)
    both = [dict(type='JointCrop', beta=None), dict(type='JointBlur', beta=None)]
    JointView([both], 2, coupling=0.5)  # the baseline of a coupled config, as --beta None makes it
    with pytest.raises(ValueError, match='with a beta there is: none'):
        JointView([both[:1]], 2, coupling=0.5)
