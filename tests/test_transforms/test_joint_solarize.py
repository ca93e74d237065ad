"""JointSolarize against mmpretrain's Solarize and JC(beta)."""

import numpy as np
import pytest
from mmpretrain.datasets.transforms import Solarize
from scipy import stats

from mmjoint.distributions import JointDistribution
from mmjoint.transforms import JointSolarize, SolarizeParams


@pytest.mark.usefixtures('each_way')
@pytest.mark.parametrize('threshold', [0, 99.5, 128, 256])
def test_pixels_are_mmpretrains(images, threshold):
    made = JointSolarize().apply(dict(img=images[0]), SolarizeParams(threshold, True))['img']
    want = Solarize(thr=threshold, prob=1.0)(dict(img=images[0].copy()))['img']
    assert np.array_equal(made, want)


@pytest.mark.parametrize('beta', [None, 2, 0, -2])
def test_thresholds_follow_jc_and_the_baseline_is_mmpretrains(beta):
    solarize = JointSolarize((0, 256), prob=(1.0, 0.2), beta=beta)
    np.random.seed(0)
    pairs = [solarize.sample({}) for _ in range(10_000)]
    t = np.array([second.threshold - first.threshold for first, second in pairs])
    law = JointDistribution(0, 256, beta, space='difference')
    assert stats.kstest(t, law.cdf).pvalue > 1e-3
    assert np.mean([second.applied for _, second in pairs]) == pytest.approx(0.2, abs=0.017)
    if beta is None:
        stock = Solarize(magnitude_range=(256, 0), magnitude_std='inf', prob=1.0)
        drawn = [stock.random_magnitude() for _ in range(10_000)]
        own = [first.threshold for first, _ in pairs]
        assert stats.ks_2samp(own, drawn).pvalue > 1e-3


@pytest.mark.parametrize(
    'kwargs,word',
    [
        (dict(thr_range=128), r'thr_range must be two numbers \(low, high\), got 128'),
        (dict(thr_range=(0, 300)), r'thr_range must lie in \[0, 256\]'),
        (dict(thr_range=(200, 100)), 'low must be below high'),
        (dict(prob=(0.5, 0.1, 0.2)), 'prob'),
    ],
)
def test_bad_values(kwargs, word):
    with pytest.raises(ValueError, match=word):
        JointSolarize(**kwargs)
