"""Betas over a run: schedules against closed forms, the follower on a model of known response."""

import math

import numpy as np
import pytest

from mmjoint.pairs.beta_plans import BetaFollower, BetaSchedule


def test_schedules() -> None:
    linear = BetaSchedule('linear', (2, -1))
    assert [linear.at(e, 7) for e in range(7)] == pytest.approx(np.linspace(2, -1, 7))
    assert linear.at(0, 1) == 2 and linear.extremes == (-1, 2)
    cosine = BetaSchedule('cosine', (2, -1), epochs=(1, 5))
    middle = [0.5 + 1.5 * math.cos(math.pi * k / 4) for k in range(5)]
    assert [cosine.at(e, 9) for e in range(9)] == pytest.approx([2, *middle, -1, -1, -1])
    steps = BetaSchedule('steps', [2, 0, -1], epochs=[1, 4])
    assert [steps.at(e, 6) for e in range(6)] == [2, 0, 0, 0, -1, -1]


@pytest.mark.parametrize(
    'arguments, message',
    [
        (('ramp', (2, 1)), "kind must be one of .* got 'ramp'"),
        (('linear', (None, 1)), 'betas: None, independent draws'),
        (('linear', (2, 1, 0)), 'needs betas=.first, last.'),
        (('linear', (2, 1), (3,)), 'needs betas=.first, last.'),
        (('linear', (2, math.nan)), 'betas must be finite'),
        (('linear', 2), 'betas must be a list'),
        (('steps', (2, 1)), 'needs epochs'),
        (('steps', (2, 1), (3, 4)), 'one more of betas than of epochs'),
        (('steps', (2, 1, 0), (4, 3)), 'epochs must be ascending integers'),
        (('cosine', (2, 1), (3, 3)), 'epochs must be ascending integers'),
        (('cosine', (2, 1), (0, 1.5)), 'epochs must be ascending integers'),
    ],
)
def test_impossible_schedules(arguments: tuple, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        BetaSchedule(*arguments)


def hold(follower: BetaFollower, response: float, drift: float, noise: float) -> np.ndarray:
    """Cosines of 200 epochs of a model that answers linearly, and drifts."""
    rng = np.random.default_rng(0)
    beta, moving, cosines = follower.start, False, []
    for epoch in range(200):
        cosines.append(0.5 + response * beta + drift * epoch + noise * rng.standard_normal())
        beta, moving = follower.next(beta, cosines[-1], moving)
        assert follower.low <= beta <= follower.high
    return np.array(cosines)


@pytest.mark.parametrize('response', [0.01, 0.04])
def test_follower_holds_its_target(response: float) -> None:
    follower = BetaFollower(0.6, (-50, 50))
    still = hold(follower, response, 0, 0)
    # At rest within half of the tolerance, where it stopped moving, and for good.
    assert np.abs(still[60:] - 0.6).max() <= 0.005 and np.unique(still[60:]).size == 1
    drifting = hold(follower, response, -0.001, 0.002)
    assert np.abs(drifting[60:] - 0.6).max() < 0.02


def test_hysteresis_step_and_bounds() -> None:
    follower = BetaFollower(0.6, (-1, 3), tolerance=0.02, gain=10, step=0.5)
    assert follower.start == 1
    assert follower.next(1.0, 0.581, moving=False) == (1.0, False)
    assert follower.next(1.0, 0.581, moving=True) == (pytest.approx(1.19), True)
    assert follower.next(1.0, 0.591, moving=True) == (1.0, False)
    assert follower.next(1.0, 0.63, moving=False) == (pytest.approx(0.7), True)
    assert follower.next(1.0, -1.0, moving=False) == (1.5, True)
    assert follower.next(2.9, 0.0, moving=True) == (3, True)
    assert follower.next(-0.9, 1.0, moving=True) == (-1, True)


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(target=1.1), r'target must be in \[-1, 1\] for measure=.cosine., got 1.1'),
        (dict(target=-1, measure='accuracy'), r'target must be in \[0, 1\]'),
        (dict(measure='loss'), 'measure must be one of'),
        (dict(target=None), 'target must be a number'),
        (dict(bounds=(2, -2)), 'bounds must be the smallest and the largest beta'),
        (dict(bounds=(None, 2)), 'bounds: None, independent draws'),
        (dict(bounds=2), 'bounds must be two numbers'),
        (dict(start=3), 'start must be within bounds'),
        (dict(tolerance=0), 'tolerance must be above 0'),
        (dict(gain=-1), 'gain must be above 0'),
        (dict(step=0), 'step must be above 0'),
    ],
)
def test_impossible_followers(changes: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        BetaFollower(**(dict(target=0.5, bounds=(-2, 2)) | changes))
