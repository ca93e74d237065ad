"""Distributions of what a pair has as a whole, and of events that its two views share or not.

Numbers in, numbers out; no image and no registry.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from .distributions import check_finite


class Uniform:
    """The uniform distribution of a quantity that a pair has as a whole, such as its overlap.

    Args:
        low, high (float): Its limits; if they are equal, every pair has the same value.

    Raises:
        TypeError: An argument is not a number.
        ValueError: ``low`` is above ``high``.
    """

    space = 'pair'

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = check_finite('low', low), check_finite('high', high)
        if self.low > self.high:
            raise ValueError(f'low must not be above high, got low={low}, high={high}')

    @property
    def has_density(self) -> bool:
        """Whether the value varies."""
        return self.low < self.high

    @property
    def limit(self) -> float:
        """The largest value."""
        return self.high

    def sample(self) -> float:
        """Draw the value of a pair."""
        return self.low + (self.high - self.low) * np.random.random_sample()

    def density(self, t: ArrayLike) -> np.ndarray:
        """Compute the probability density at t."""
        t = np.asarray(t, float)
        return np.where((t >= self.low) & (t <= self.high), 1 / (self.high - self.low), 0.0)

    def cdf(self, t: ArrayLike) -> np.ndarray:
        """Compute the probability that the value is at most t."""
        t = np.asarray(t, float)
        if self.low == self.high:
            return (t >= self.low).astype(float)
        return np.clip((t - self.low) / (self.high - self.low), 0.0, 1.0)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(low={self.low}, high={self.high})'


class CorrelatedBernoulli:
    """Draws for the two views of a pair whether each has a property, with a given correlation.

    View 1 has it with probability ``p1``, view 2 with ``p2``, both with ``p1 p2 + rho sqrt(p1 (1 -
    p1) p2 (1 - p2))``. That this probability lies within the bounds of Frechet, ``max(0, p1 + p2 -
    1)`` and ``min(p1, p2)``, limits rho; ``rho_range`` gives the limits. How a pair differs is ``t
    = a2 - a1``, which is -1, 0 or 1. It has no density.

    Args:
        p1, p2 (float): Probabilities, in [0, 1].
        rho (float, optional): The correlation. 1 (if ``p1 == p2``) makes both views alike. Defaults
            to None, the baseline: independent.

    Raises:
        TypeError: An argument is not a number.
        ValueError: ``p1`` or ``p2`` is not a probability; rho is out of its range, or given where a
            probability is 0 or 1, so that there is nothing to correlate.

    Examples:
        >>> flip1, flip2 = CorrelatedBernoulli(0.5, 0.5, rho=-1).sample()
    """

    space = 'difference'
    has_density = False
    #: The largest ``|t|``.
    limit = 1.0

    def __init__(self, p1: float, p2: float, rho: float | None = None) -> None:
        self.p1, self.p2 = check_finite('p1', p1), check_finite('p2', p2)
        if not (0 <= self.p1 <= 1 and 0 <= self.p2 <= 1):
            raise ValueError(f'p1 and p2 must be probabilities in [0, 1], got {p1} and {p2}')
        self.rho = None if rho is None else check_finite('rho', rho)
        self._both = self.p1 * self.p2
        if self.rho is None:
            return
        low, high = self.rho_range
        if low == high:
            raise ValueError(
                f'rho={rho} with probabilities {p1:g} and {p2:g}: a view that always or never has '
                'the property has no correlation; use rho=None'
            )
        if not low - 1e-9 <= self.rho <= high + 1e-9:
            raise ValueError(
                f'rho must be in [{low:.4g}, {high:.4g}] for the probabilities {p1:g} and {p2:g}, '
                f'got {rho}'
            )
        both = self._both + self.rho * self._deviation
        self._both = min(max(both, self.p1 + self.p2 - 1, 0.0), self.p1, self.p2)

    @property
    def _deviation(self) -> float:
        """The product of the standard deviations."""
        return math.sqrt(self.p1 * (1 - self.p1) * self.p2 * (1 - self.p2))

    @property
    def rho_range(self) -> tuple[float, float]:
        """The limits of rho; (0, 0) if a probability is 0 or 1."""
        deviation, independent = self._deviation, self.p1 * self.p2
        if not deviation:
            return 0.0, 0.0
        low = (max(0.0, self.p1 + self.p2 - 1) - independent) / deviation
        return low, (min(self.p1, self.p2) - independent) / deviation

    @property
    def beta(self) -> float | None:
        """rho, by the name that the parameter of every distribution has."""
        return self.rho

    def with_beta(self, beta: float | None) -> 'CorrelatedBernoulli':
        """Return the distribution with the same probabilities and another rho."""
        return CorrelatedBernoulli(self.p1, self.p2, beta)

    def sample(self) -> tuple[bool, bool]:
        """Draw whether view 1 and whether view 2 has the property."""
        first = bool(np.random.random_sample() < self.p1)
        u = np.random.random_sample()
        if self.rho is None:
            return first, bool(u < self.p2)
        if first:
            return True, bool(u * self.p1 < self._both)
        return False, bool(u * (1 - self.p1) < self.p2 - self._both)

    def density(self, t: ArrayLike) -> np.ndarray:
        """Raise TypeError: all mass lies in three points."""
        raise TypeError('CorrelatedBernoulli has no density: all its mass lies in three points')

    def cdf(self, t: ArrayLike) -> np.ndarray:
        """Compute the probability that the difference of a pair is at most t."""
        t = np.asarray(t, float)
        only_first, only_second = self.p1 - self._both, self.p2 - self._both
        same = 1 - only_first - only_second
        return only_first * (t >= -1) + same * (t >= 0) + only_second * (t >= 1)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(p1={self.p1}, p2={self.p2}, rho={self.rho})'
