"""JC(beta) against closed forms, SciPy and the oracles of the paper (section 3.2, appendix H)."""

import functools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from mmjoint.distributions import FixedRatio, JointDistribution

NUM = 50_000
RANGES = [(0.2, 1.0), (0.08, 1.0), (0.1, 2.0)]


def draw(dist: JointDistribution, num: int = NUM) -> tuple[np.ndarray, np.ndarray]:
    np.random.seed(0)
    pairs = np.array([dist.sample() for _ in range(num)])
    return pairs[:, 0], pairs[:, 1]


@functools.cache
def draw_pairs(*args: object, **kwargs: object) -> tuple[np.ndarray, np.ndarray]:
    """Draw from a distribution as it is built from the arguments: once for all tests."""
    return draw(JointDistribution(*args, **kwargs))


def jc_cdf(beta: float, limit: float):
    """CDF of t under JC(beta), written with SciPy's truncated normal."""
    if beta == 0:
        return stats.uniform(-limit, 2 * limit).cdf
    scale = limit / abs(beta)
    dist = stats.truncnorm(-abs(beta), abs(beta), scale=scale)
    if beta > 0:
        return dist.cdf

    def flipped(t):  # P(T <= t) after t >= 0 -> limit - t and t < 0 -> -limit - t
        t = np.asarray(t)
        below = 0.5 - dist.cdf(np.clip(-limit - t, -limit, 0))
        above = 0.5 + (1 - dist.cdf(np.clip(limit - t, 0, limit)))
        return np.where(t < 0, below, above)

    return flipped


@pytest.mark.parametrize('low,high', RANGES)
@pytest.mark.parametrize('beta', [3, 2, 1, 0.5, 0, -0.5, -1, -2])
def test_log_ratio_follows_jc(low, high, beta):
    a1, a2 = draw_pairs(low, high, beta)
    cdf = jc_cdf(beta, math.log(high / low))
    assert stats.kstest(np.log(a2 / a1), cdf).pvalue > 1e-3


@pytest.mark.parametrize('beta', [2, 0, -2])
def test_difference_follows_jc(beta):
    a1, a2 = draw_pairs(-0.2, 0.2, beta, space='difference')
    assert stats.kstest(a2 - a1, jc_cdf(beta, 0.4)).pvalue > 1e-3
    assert min(a1.min(), a2.min()) >= -0.2 and max(a1.max(), a2.max()) <= 0.2


@pytest.mark.parametrize('low,high', RANGES)
@pytest.mark.parametrize('beta', [None, 2, 0, -2])
def test_stays_in_range_and_views_are_exchangeable(low, high, beta):
    a1, a2 = draw_pairs(low, high, beta)
    assert min(a1.min(), a2.min()) >= low and max(a1.max(), a2.max()) <= high
    assert stats.ks_2samp(a1, a2).pvalue > 1e-3


def test_first_parameter_is_uniform_given_the_ratio():
    low, high = 0.2, 1.0
    a1, a2 = draw_pairs(low, high, 0)
    ratio = a2 / a1
    start = np.maximum(low, low / ratio)
    u = (a1 - start) / (np.minimum(high, high / ratio) - start)
    assert stats.kstest(u, 'uniform').pvalue > 1e-3


@pytest.mark.parametrize(
    'low,beta,beyond,mean',
    [
        (0.2, None, 0.28125, 0.600),
        (0.2, 0, 1 - math.log(2) / math.log(5), 0.548),
        (0.08, None, 0.418, 0.540),
        (0.08, 0, 1 - math.log(2) / math.log(12.5), None),
    ],
)
def test_area_oracles(low, beta, beyond, mean):
    a1, a2 = draw_pairs(low, 1.0, beta)
    got = np.mean(np.abs(np.log(a2 / a1)) > math.log(2))
    assert got == pytest.approx(beyond, abs=4 * math.sqrt(beyond * (1 - beyond) / NUM) + 5e-4)
    if mean is not None:
        assert (a1.mean() + a2.mean()) / 2 == pytest.approx(mean, abs=2e-3)


def test_independent_ratio_has_the_density_of_appendix_h():
    a, b = 0.2, 1.0
    a1, a2 = draw_pairs(a, b, None)

    def density(r):
        if r >= 1:
            return (b**2 / r**2 - a**2) / (2 * (b - a) ** 2)
        return (b**2 - a**2 / r**2) / (2 * (b - a) ** 2)

    grid = np.array([0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0])
    expected = [integrate.quad(density, a / b, r, points=[1.0] if r > 1 else None)[0] for r in grid]
    got = [(a2 / a1 <= r).mean() for r in grid]
    np.testing.assert_allclose(got, expected, atol=4 * 0.5 / math.sqrt(NUM))


def test_mass_within_one_to_two_as_the_paper_orders_it():
    """JC(2) is a little wider than independent sampling: 64 % within 1:2 against 72 %."""
    within = {}
    for beta in (None, 2, 1, 0, -1, -2):
        a1, a2 = draw_pairs(0.2, 1.0, beta)
        within[beta] = np.mean(np.abs(np.log(a2 / a1)) <= math.log(2))
    assert within[None] == pytest.approx(0.72, abs=0.005)
    assert within[2] == pytest.approx(0.64, abs=0.005)
    assert within[None] > within[2] > within[1] > within[0] > within[-1] > within[-2]


@pytest.mark.parametrize('beta', [1e-9, 40.0, 1e6, -40.0])
def test_extreme_beta(beta):
    a1, a2 = draw(JointDistribution(0.2, 1.0, beta), num=2000)
    assert stats.kstest(np.log(a2 / a1), jc_cdf(beta, math.log(5))).pvalue > 1e-3


SPACES = [(0.2, 1.0, 'ratio'), (0.08, 1.0, 'ratio'), (-0.2, 0.2, 'difference')]


@pytest.mark.parametrize('low,high,space', SPACES)
@pytest.mark.parametrize('beta', [None, 40.0, 2, 0.5, 1e-9, 0, -0.5, -2, -40.0])
def test_density_and_cdf(low, high, space, beta):
    """Against SciPy's truncated normal, draws, and each other."""
    dist = JointDistribution(low, high, beta, space)
    limit = math.log(high / low) if space == 'ratio' else high - low
    assert dist.limit == pytest.approx(limit)
    grid = np.linspace(-limit, limit, 41)
    if beta is not None:
        expected = jc_cdf(0 if beta == 1e-9 else beta, limit)(grid)  # where SciPy is too coarse
        np.testing.assert_allclose(dist.cdf(grid), expected, atol=1e-9)
    a1, a2 = draw(dist, num=20_000)
    t = np.log(a2 / a1) if space == 'ratio' else a2 - a1
    assert stats.kstest(t, dist.cdf).pvalue > 1e-3
    for start, end in zip(grid[:-1], grid[1:], strict=True):
        area = integrate.quad(dist.density, start, end)[0]
        assert area == pytest.approx(dist.cdf(end) - dist.cdf(start), abs=1e-7)
    outside = np.array([-limit - 0.01, limit + 0.01])
    assert dist.density(outside).tolist() == [0, 0]
    np.testing.assert_allclose(dist.cdf(outside), [0, 1], atol=1e-12)
    assert dist.density(0.1).shape == () and dist.cdf(np.zeros((2, 3))).shape == (2, 3)


def test_independent_density_is_that_of_appendix_h():
    a, b, ratio = 0.2, 1.0, np.array([1.0, 1.5, 2.0, 4.0, 5.0])
    published = (b**2 / ratio**2 - a**2) / (2 * (b - a) ** 2)
    dist = JointDistribution(a, b, None)
    np.testing.assert_allclose(dist.density(np.log(ratio)) / ratio, published, atol=1e-12)
    beyond = dist.cdf(-math.log(2)) + 1 - dist.cdf(math.log(2))
    assert beyond == pytest.approx(0.28125, abs=1e-12)


def test_a_range_from_zero_has_an_independent_ratio():
    dist = JointDistribution(0.0, 2.0, None)
    grid = np.array([-30.0, -1.0, 0.0, 2.0])
    np.testing.assert_allclose(dist.density(grid), stats.laplace.pdf(grid))
    np.testing.assert_allclose(dist.cdf(grid), stats.laplace.cdf(grid), atol=1e-15)
    assert dist.cdf(math.inf) == 1 and dist.density(math.inf) == 0


@pytest.mark.parametrize('low,high,word', [(-0.1, 1.0, 'has no ratio'), (0.3, 0.3, 'one value')])
def test_what_has_no_density(low, high, word):
    for function in ('density', 'cdf'):
        with pytest.raises(ValueError, match=word):
            getattr(JointDistribution(low, high, None), function)(0.0)


@pytest.mark.parametrize('ratio', [1, 1.5, 3, 5])
def test_fixed_ratio(ratio):
    dist = FixedRatio(0.2, 1.0, ratio)
    a1, a2 = draw(dist, num=20_000)
    assert min(a1.min(), a2.min()) >= 0.2 and max(a1.max(), a2.max()) <= 1
    t = np.log(a2 / a1)
    np.testing.assert_allclose(np.abs(t), math.log(ratio), atol=1e-12)
    if ratio > 1:
        assert (t > 0).mean() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(20_000))
        assert dist.cdf([-2, 0, 2]).tolist() == [0, 0.5, 1]
    if ratio < 5:
        smaller = np.minimum(a1, a2)
        assert stats.kstest(smaller, stats.uniform(0.2, 1 / ratio - 0.2).cdf).pvalue > 1e-3


@pytest.mark.parametrize('ratio', [0.9, 5.1, float('nan')])
def test_fixed_ratio_out_of_range(ratio):
    with pytest.raises(ValueError, match='ratio must be'):
        FixedRatio(0.2, 1.0, ratio)


def test_fixed_ratio_has_no_density():
    with pytest.raises(TypeError, match='two points'):
        FixedRatio(0.2, 1.0, 2).density(0)


def test_numpy_seed_reproduces():
    dist = JointDistribution(0.2, 1.0, 1)
    np.random.seed(3)
    first = [dist.sample() for _ in range(5)]
    np.random.seed(3)
    assert [dist.sample() for _ in range(5)] == first


@pytest.mark.parametrize(
    'kwargs,word',
    [
        (dict(low=1.0, high=0.2), 'low must be below high'),
        (dict(low=0.2, high=0.2, beta=0), 'low must be below high'),
        (dict(low=0.0, high=1.0, beta=0), 'low > 0'),
        (dict(low=-0.1, high=1.0, beta=2), 'low > 0'),
        (dict(low=float('nan'), high=1.0), 'low must be finite'),
        (dict(low=0.2, high=float('inf')), 'high must be finite'),
        (dict(low=0.2, high=1.0, beta=float('nan')), 'beta must be finite'),
        (dict(low=0.2, high=1.0, space='log'), "'ratio' or 'difference'"),
    ],
)
def test_bad_values(kwargs, word):
    with pytest.raises(ValueError, match=word):
        JointDistribution(**kwargs)


@pytest.mark.parametrize('kwargs', [dict(beta='0'), dict(beta=True), dict(low=None)])
def test_bad_types(kwargs):
    with pytest.raises(TypeError, match='must be a number'):
        JointDistribution(**{'low': 0.2, 'high': 1.0, **kwargs})
