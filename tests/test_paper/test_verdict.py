"""The statistics of a study against closed forms and direct computation."""

import itertools

import numpy as np
import pytest

from mmjoint.paper.verdict import judge

GAINS = [0.5, 1.2, -0.3, 0.8, 0.9, 0.1, 1.5, 0.4]


def test_t_interval():
    verdict = judge(GAINS)
    # 2.3646 is the 97.5 % quantile of Student's t with 7 degrees of freedom (any table).
    half = 2.3646 * np.std(GAINS, ddof=1) / np.sqrt(8)
    assert verdict.mean == pytest.approx(0.6375)
    assert verdict.t_interval == pytest.approx((0.6375 - half, 0.6375 + half), abs=1e-4)
    assert verdict.words == 'supported'
    assert judge([-gain for gain in GAINS]).words == 'contradicted at this size'
    assert judge([gain - 0.5 for gain in GAINS]).words == 'not supported at this size'


def test_sign_flip_counts_all_choices_of_signs():
    means = [np.mean(np.multiply(GAINS, s)) for s in itertools.product((1, -1), repeat=8)]
    share = np.mean(np.abs(means) >= np.mean(GAINS) - 1e-12)
    assert judge(GAINS).sign_flip == pytest.approx(share)


def test_bootstrap_interval():
    rng = np.random.default_rng(5)
    means = rng.choice(GAINS, (200_000, 8)).mean(1)
    assert judge(GAINS).bootstrap_interval == pytest.approx(
        np.percentile(means, [2.5, 97.5]), abs=0.02
    )


def test_power_is_80_percent_at_the_detectable_difference():
    verdict = judge(GAINS)
    rng = np.random.default_rng(6)
    samples = rng.normal(verdict.detectable, verdict.deviation, (100_000, 8))
    t = samples.mean(1) / (samples.std(1, ddof=1) / np.sqrt(8))
    assert np.mean(np.abs(t) > 2.3646) == pytest.approx(0.8, abs=0.005)


def test_too_few():
    with pytest.raises(ValueError, match='three differences that differ'):
        judge([1.0, 2.0])
    with pytest.raises(ValueError, match='three differences that differ'):
        judge([1.0, 1.0, 1.0])
