"""JC(beta): the joint distribution of one augmentation parameter over the two views of a pair.

Numbers in, numbers out; no image and no registry. Source: "Enhancing Contrastive Learning Inspired
by the Philosophy of 'The Blind Men and the Elephant'" (arXiv 2412.16522), sections 3.2 to 3.4.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

_NORMAL = NormalDist()
_BELOW_ONE = math.nextafter(1.0, 0.0)
# Below this |beta| the truncated normal differs from its limit, the uniform distribution, by less
# than a relative 1e-8, and the inverse of its CDF starts to lose digits.
_UNIFORM_BELOW = 1e-4


class JointDistribution:
    r"""Draws the parameters ``(a1, a2)`` of a positive pair jointly, both in ``[low, high]``.

    One quantity says how hard a pair is: ``t``, the log ratio ``log(a2 / a1)``
    (``space='ratio'``) or the difference ``a2 - a1`` (``space='difference'``). It lies in
    ``[-L, L]`` with ``L = log(high / low)`` or ``L = high - low``, and follows JC(beta):

    - ``beta=None``: independent, the baseline: ``a1, a2 ~ U(low, high)``.
    - ``beta > 0``: ``t = (L / beta) x`` with x standard normal, truncated to ``[-beta, beta]``.
    - ``beta = 0``: ``t ~ U(-L, L)``, the limit of small beta and the paper's default.
    - ``beta < 0``: t of ``JC(|beta|)`` with each half flipped about its middle: ``t >= 0`` becomes
      ``L - t`` and ``t < 0`` becomes ``-L - t``, so that most pairs differ a lot.

    Given ``t``, ``a1`` is uniform over the values that keep both parameters in range. The smaller
    beta is, the harder the pairs are. The formula of sigma is lost in the published text of the
    paper; ``L / beta`` is our reading: beta has no unit, JC(0) is uniform, and JC(2) on ``[0.2,
    1]`` is a little wider than independent sampling, as the paper describes. The authors' code
    narrows JC(0) to ``L = log(high / low - 0.1)``; this class follows the paper.

    Random numbers come from NumPy's global generator, which mmengine seeds in every worker.

    Args:
        low (float): Lower limit of the parameter; above 0 for a joint draw with ``space='ratio'``.
        high (float): Upper limit of the parameter, above ``low`` (equal is allowed if
            ``beta=None``).
        beta (float, optional): Any finite number, or None. Defaults to 0.0.
        space (str): ``'ratio'`` or ``'difference'``. Defaults to ``'ratio'``.
        order (str): Which view gets the larger parameter: ``'either'``, or always the ``'first'``
            or the ``'second'``; then t has only one sign. Defaults to ``'either'``.

    Raises:
        TypeError: An argument is not a number.
        ValueError: An argument is outside the range that its description gives.

    Examples:
        >>> area = JointDistribution(0.2, 1.0, beta=0)
        >>> area1, area2 = area.sample()
    """

    def __init__(
        self,
        low: float,
        high: float,
        beta: float | None = 0.0,
        space: str = 'ratio',
        order: str = 'either',
    ) -> None:
        self.low = check_finite('low', low)
        self.high = check_finite('high', high)
        self.beta = None if beta is None else check_finite('beta', beta)
        self.space = space
        if space not in ('ratio', 'difference'):
            raise ValueError(f"space must be 'ratio' or 'difference', got {space!r}")
        self.order = order
        if order not in ('either', 'first', 'second'):
            raise ValueError(f"order must be 'either', 'first' or 'second', got {order!r}")
        if self.high < self.low or (self.beta is not None and self.high == self.low):
            raise ValueError(f'low must be below high, got low={low}, high={high}')
        if self.beta is None:
            return
        if space == 'ratio' and self.low <= 0:
            raise ValueError(
                f'a joint parameter needs low > 0, since its ratio has no meaning at 0; got '
                f'low={low}, high={high}, beta={beta}. Use beta=None to draw independently'
            )
        if space == 'ratio':
            self._limit = math.log(self.high / self.low)
        else:
            self._limit = self.high - self.low
        self._uniform = abs(self.beta) < _UNIFORM_BELOW
        # Phi(|beta|) - 1/2: the mass of the standard normal between 0 and the truncation.
        self._half_mass = _NORMAL.cdf(abs(self.beta)) - 0.5

    def sample(self, difficulty: float | None = None) -> tuple[float, float]:
        """Draw one pair.

        Args:
            difficulty (float, optional): The value of the distribution function of ``|t|``, in [0,
                1], where it is given from outside; not used with ``beta=None``. Defaults to None,
                drawn here.

        Returns:
            tuple[float, float]: ``(a1, a2)``, the parameters of view 1 and of view 2.
        """
        low, high = self.low, self.high
        if self.beta is None:
            width = high - low
            a1 = low + width * np.random.random_sample()
            a2 = low + width * np.random.random_sample()
        else:
            a1, a2 = self._sample_given(self._sample_t(difficulty))
        return (a1, a2) if self.in_order(a1, a2) else (a2, a1)

    def in_order(self, a1: float, a2: float) -> bool:
        """Whether the view that should get the larger parameter has it."""
        return self.order == 'either' or (a1 >= a2 if self.order == 'first' else a1 <= a2)

    def _sample_given(self, t: float) -> tuple[float, float]:
        """Draw a pair with the given t; a1 is uniform where both parameters stay in range."""
        low, high = self.low, self.high
        ratio = math.exp(t) if self.space == 'ratio' else None
        if t >= 0:  # a2 is the larger
            start, end = low, high - t if ratio is None else high / ratio
        else:
            start, end = low - t if ratio is None else low / ratio, high
        a1 = start + (end - start) * np.random.random_sample()
        a2 = a1 + t if ratio is None else ratio * a1
        # Rounding may step over a limit by one unit in the last place.
        if not low <= a1 <= high:
            a1 = low if a1 < low else high
        if not low <= a2 <= high:
            a2 = low if a2 < low else high
        return a1, a2

    def _sample_t(self, difficulty: float | None = None) -> float:
        """Draw t, which is symmetric about 0: its size by the inverse of the CDF, then its sign."""
        assert self.beta is not None
        if difficulty is None:
            u = np.random.random_sample()
        else:  # the size falls in u if beta is below 0
            u = 1 - difficulty if self.beta < 0 and not self._uniform else difficulty
        if self._uniform:
            size = u * self._limit
        else:
            beta = abs(self.beta)
            x = _NORMAL.inv_cdf(min(0.5 + self._half_mass * u, _BELOW_ONE))
            size = min(x / beta, 1.0) * self._limit
            if self.beta < 0:
                size = self._limit - size
        return size if np.random.random_sample() < 0.5 else -size

    #: Whether t has a density; without one, only ``cdf`` tells how it is distributed.
    has_density = True

    def with_beta(self, beta: float | None) -> 'JointDistribution':
        """Return the distribution of the same parameter with another beta (None: independent)."""
        return JointDistribution(self.low, self.high, beta, self.space, self.order)

    @property
    def limit(self) -> float:
        """L, the largest ``|t|``; infinite for the ratio of a parameter whose range starts at 0.

        Raises:
            ValueError: The parameter has no ratio (``low < 0``), or its range is a single value.
        """
        if self.high == self.low:
            raise ValueError(f'{self!r} draws one value only, so t has no density')
        if self.space == 'difference':
            return self.high - self.low
        if self.low < 0:
            raise ValueError(f'{self!r} has no ratio: its range goes below 0')
        return math.log(self.high / self.low) if self.low else math.inf

    def density(self, t: ArrayLike) -> np.ndarray:
        """Compute the probability density of t, the log ratio or difference of a pair.

        For independent ratios this is ``f(r)`` of appendix H, expressed as a density of ``log r``.

        Args:
            t (ArrayLike): Any numbers.

        Returns:
            np.ndarray: float64, of t's shape; 0 outside ``[-limit, limit]``.

        Raises:
            ValueError: As documented in ``limit``.
        """
        t = np.asarray(t, float)
        limit, size = self.limit, np.abs(t)
        inside = size <= limit
        size = np.where(inside, size, 0.0)
        if self.beta is None:
            width = self.high - self.low
            if self.space == 'ratio':
                density = self.high**2 * np.exp(-size)
                if self.low:  # else size may be infinite
                    density -= self.low**2 * np.exp(size)
                density /= 2 * width**2
            else:
                density = (width - size) / width**2
        elif self._uniform:
            density = np.full_like(size, 0.5 / limit)
        else:
            x = (size if self.beta > 0 else limit - size) * abs(self.beta) / limit
            density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
            density *= abs(self.beta) / (2 * limit * self._half_mass)
        if self.order != 'either':
            density = 2 * density
            inside &= (t <= 0) if self.order == 'first' else (t >= 0)
        return np.where(inside, density, 0.0)

    def cdf(self, t: ArrayLike) -> np.ndarray:
        """Compute the probability that a pair's log ratio or difference is at most t.

        Args:
            t (ArrayLike): Any numbers.

        Returns:
            np.ndarray: float64 in [0, 1], of t's shape.

        Raises:
            ValueError: As documented in ``limit``.
        """
        t, limit = np.asarray(t, float), self.limit
        size = np.minimum(np.abs(t), limit)
        # Half of the mass lies on each side of 0; `half` is that between 0 and |t|.
        if self.beta is None:
            width = self.high - self.low
            if self.space == 'ratio':
                half = self.high**2 * -np.expm1(-size)
                if self.low:
                    half -= self.low**2 * np.expm1(size)
                half /= 2 * width**2
            else:
                half = (width * size - size**2 / 2) / width**2
        elif self._uniform:
            half = size / (2 * limit)
        elif self.beta > 0:
            half = _normal_mass(size * self.beta / limit) / (2 * self._half_mass)
        else:
            half = _normal_mass((limit - size) * -self.beta / limit) / (2 * self._half_mass)
            half = 0.5 - half
        if self.order == 'first':
            return np.where(t < 0, 1 - 2 * half, 1.0)
        if self.order == 'second':
            return np.where(t < 0, 0.0, 2 * half)
        return 0.5 + np.copysign(half, t)

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(low={self.low}, high={self.high}, beta={self.beta}, '
            f'space={self.space!r}'
            + (f', order={self.order!r})' if self.order != 'either' else ')')
        )


class FixedRatio(JointDistribution):
    """Draws pairs whose ratio is always the same, either way round with equal probability.

    Figure 2 of arXiv 2412.16522 measures the difficulty of such pairs, for ratios from 1 to 5. This
    is not a distribution to train with, and it has no density.

    Args:
        low (float): Lower limit of the parameter, above 0.
        high (float): Upper limit of the parameter, above ``low``.
        ratio (float): The larger parameter over the smaller one, from 1 to ``high / low``.

    Raises:
        TypeError: An argument is not a number.
        ValueError: An argument is outside the range that its description gives.

    Examples:
        >>> area1, area2 = FixedRatio(0.2, 1.0, ratio=3).sample()
    """

    has_density = False

    def __init__(self, low: float, high: float, ratio: float) -> None:
        super().__init__(low, high, beta=0.0)
        self.ratio = check_finite('ratio', ratio)
        # 1 / 0.2 is 5, but the limits 0.1 and 0.7 give 6.999...
        if not 1 <= self.ratio <= self.high / self.low * (1 + 1e-9):
            raise ValueError(
                f'ratio must be from 1 to high / low = {self.high / self.low:.4g} (range '
                f'[{self.low:g}, {self.high:g}]), got {ratio}'
            )

    def _sample_t(self, difficulty: float | None = None) -> float:
        t = min(math.log(self.ratio), self._limit)
        return t if np.random.random_sample() < 0.5 else -t

    def density(self, t: ArrayLike) -> np.ndarray:
        """Raise TypeError: all mass lies in two points."""
        raise TypeError('FixedRatio has no density: all its mass lies in two points')

    def cdf(self, t: ArrayLike) -> np.ndarray:
        """Compute the probability that a pair's log ratio is at most t."""
        t, size = np.asarray(t, float), math.log(self.ratio)
        return 0.5 * (t >= -size) + 0.5 * (t >= size)

    def __repr__(self) -> str:
        return f'FixedRatio(low={self.low}, high={self.high}, ratio={self.ratio})'


_erf = np.vectorize(math.erf, otypes=[float])


def _normal_mass(x: np.ndarray) -> np.ndarray:
    """Return the mass of the standard normal between 0 and x."""
    return _erf(x / math.sqrt(2)) / 2


def check_finite(name: str, value: float) -> float:
    """Return a number as a float; raise TypeError or ValueError, naming it, if it is none."""
    if isinstance(value, (bool, str, bytes)) or not hasattr(value, '__float__'):
        raise TypeError(f'{name} must be a number, got {value!r}')
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f'{name} must be finite, got {value}')
    return value
