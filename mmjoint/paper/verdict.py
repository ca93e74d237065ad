"""What paired differences say: intervals, a test, and the power that a study had."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_NO_SCIPY = "the statistics of a study need SciPy: pip install 'mmjoint[studies]'"


@dataclass(frozen=True)
class Verdict:
    """The comparison of a setting with the baseline, paired by seed.

    Args:
        differences (tuple[float, ...]): One per seed, in points.
        mean, deviation (float): Their mean and sample standard deviation.
        t_interval (tuple[float, float]): The 95 % interval of the mean by Student's t.
        bootstrap_interval (tuple[float, float]): The 95 % percentile interval of the mean by the
            bootstrap, 10,000 resamples. With few seeds it is too narrow.
        sign_flip (float): The two-sided p-value of the exact sign-flip test: the share of all
            choices of signs whose mean is at least as far from 0.
        detectable (float): The true difference that a paired t-test at the 5 % level would have
            found with a power of 80 %, at the measured standard deviation.
    """

    differences: tuple[float, ...]
    mean: float
    deviation: float
    t_interval: tuple[float, float]
    bootstrap_interval: tuple[float, float]
    sign_flip: float
    detectable: float

    @property
    def words(self) -> str:
        """The result in words, by the t interval."""
        low, high = self.t_interval
        if low > 0:
            return 'supported'
        return 'contradicted at this size' if high < 0 else 'not supported at this size'


def can_judge(differences: Sequence[float]) -> bool:
    """Tell whether there are enough differences for a verdict: three that are not all equal."""
    return len(differences) >= 3 and min(differences) < max(differences)


def judge(differences: Sequence[float]) -> Verdict:
    """Compute what paired differences say.

    Args:
        differences (Sequence[float]): One per seed; ``can_judge`` must be true of them.

    Returns:
        Verdict: The intervals, the test and the power.

    Raises:
        ValueError: There are fewer than three differences, or all are equal.
        ImportError: SciPy is not installed.
    """
    try:
        from scipy import optimize, stats
    except ImportError:
        raise ImportError(_NO_SCIPY) from None
    values = np.asarray(differences, float)
    if not can_judge(differences):
        raise ValueError(f'a verdict needs three differences that differ, got {values.tolist()}')
    n, deviation = len(values), values.std(ddof=1)
    error = deviation / np.sqrt(n)
    interval = stats.t.interval(0.95, n - 1, values.mean(), error)
    resampled = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method='percentile', rng=np.random.default_rng(0)
    ).confidence_interval
    flipped = stats.permutation_test(
        (values,), np.mean, permutation_type='samples', n_resamples=np.inf if n <= 16 else 99_999
    )
    critical = stats.t.ppf(0.975, n - 1)

    def lacking_power(difference: float) -> float:
        # A significant difference of the wrong sign is left out: its probability is below 0.001.
        return stats.nct.sf(critical, n - 1, difference / error) - 0.8

    detectable = optimize.brentq(lacking_power, 2 * error, 15 * error)
    return Verdict(
        tuple(values.tolist()),
        float(values.mean()),
        float(deviation),
        (float(interval[0]), float(interval[1])),
        (float(resampled.low), float(resampled.high)),
        float(flipped.pvalue),
        float(detectable),
    )
