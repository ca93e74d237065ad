"""JointFlip and JointGray: what the pair draws, and the pixels of their counterparts."""

import math

import numpy as np
import pytest

from mmjoint.pair_distributions import CorrelatedBernoulli
from mmjoint.transforms import HorizontalFlip, JointFlip, JointGray, JointView, ToGray


@pytest.mark.parametrize(
    'p1,p2,rho', [(0.5, 0.5, -1), (0.5, 0.5, 0.5), (0.2, 0.2, 1), (0.8, 0.1, -0.5), (0.3, 0.6, 0)]
)
def test_correlation(p1, p2, rho):
    law = CorrelatedBernoulli(p1, p2, rho)
    np.random.seed(0)
    first, second = np.array([law.sample() for _ in range(10_000)]).T.astype(float)
    assert first.mean() == pytest.approx(p1, abs=0.017)
    assert second.mean() == pytest.approx(p2, abs=0.017)
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(rho, abs=0.04)
    for t in (-1.5, -1, -0.5, 0, 0.5, 1):
        assert law.cdf(t) == pytest.approx(np.mean(second - first <= t), abs=0.017)
    assert law.cdf(1) == 1 and law.cdf(-1.01) == 0


def test_bounds_are_frechets():
    """At its limits rho makes one event contain the other, or both as disjoint as can be."""
    for p1, p2 in ((0.5, 0.5), (0.2, 0.6), (0.9, 0.7)):
        low, high = CorrelatedBernoulli(p1, p2).rho_range
        # P(neither differs) by the closed form of t at its limits.
        most = CorrelatedBernoulli(p1, p2, high)
        assert most.cdf(-1) == pytest.approx(max(p1 - p2, 0))
        least = CorrelatedBernoulli(p1, p2, low)
        assert least.cdf(-1) == pytest.approx(p1 - max(p1 + p2 - 1, 0))
        for rho in (low - 0.01, high + 0.01):
            with pytest.raises(ValueError, match=rf'rho must be in \[{low:.4g}, {high:.4g}\]'):
                CorrelatedBernoulli(p1, p2, rho)
    assert CorrelatedBernoulli(0.2, 0.2).rho_range == pytest.approx((-0.25, 1))
    with pytest.raises(ValueError, match='has no correlation; use rho=None'):
        JointGray((0.0, 0.2), rho=0.5)
    with pytest.raises(ValueError, match='prob'):
        JointFlip(1.5)


@pytest.mark.usefixtures('each_way')
@pytest.mark.parametrize(
    'joint,single',
    [(JointFlip((0.5, 0.5)), HorizontalFlip(0.5)), (JointGray((0.4, 0.4)), ToGray(0.4))],
)
def test_without_rho_they_are_their_counterparts(images, joint, single):
    """From the same state of the generator the same views are drawn, pixel for pixel."""
    made = []
    crop = dict(type='JointCrop', scale=48)
    for transform in (joint, single):
        views = JointView([[crop, transform]], 2)
        np.random.seed(3)
        made.append([img for _ in range(12) for img in views(dict(img=images[0]))['img']])
    assert all(np.array_equal(a, b) for a, b in zip(*made, strict=True))


def test_difference_of_a_pair():
    flip = JointFlip(0.5, rho=0.5)
    np.random.seed(0)
    pairs = [flip.sample({}) for _ in range(10_000)]
    t = [flip.flip.compare(*pair) for pair in pairs]
    # Of pairs with correlation 1/2 and p = 1/2, (1 - rho) / 2 = 1/4 differ.
    assert np.mean(np.abs(t)) == pytest.approx(0.25, abs=4 * math.sqrt(0.1875 / 10_000))
    assert flip.flip.describe(1) == 'flip of one view only'
    assert flip.flip.describe(0) == 'flip alike'
