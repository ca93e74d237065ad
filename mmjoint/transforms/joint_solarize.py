"""JointSolarize: solarization whose difference of thresholds is drawn from JC(beta)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmengine.registry import TRANSFORMS

from ..distributions import JointDistribution
from ..pixels import operations
from .base import JointParams, JointQuantity, JointTransform
from .checks import check_probabilities


@dataclass(frozen=True)
class SolarizeParams(JointParams):
    """One view's solarization.

    Args:
        threshold (float): Levels of at least this are inverted.
        applied (bool): Whether this view is solarized at all.
    """

    threshold: float
    applied: bool

    def joint_values(self) -> dict[str, float | None]:
        return dict(threshold=self.threshold if self.applied else None)

    def describe(self) -> str:
        return f'solarized from {self.threshold:.0f} on' if self.applied else 'not solarized'


@TRANSFORMS.register_module()
class JointSolarize(JointTransform):
    """Invert the levels of both views of a pair above thresholds that are drawn jointly.

    The thresholds follow ``JointDistribution(*thr_range, beta, space='difference')``. With
    ``beta=None`` this is mmpretrain's ``Solarize(magnitude_range=thr_range, magnitude_std='inf')``,
    the solarization of AutoAugment and RandAugment; BYOL's has one threshold, 128
    (``Solarization``).

    Required Keys:

    - img: uint8.

    Modified Keys:

    - img
    - view_params

    Args:
        thr_range (tuple[float, float]): Range of the threshold, in [0, 256]. Defaults to (64, 192).
        prob (float | tuple[float, float]): Probability that a view is solarized: one number for
            both views or one per view. Defaults to 0.2.
        beta (float, optional): JC's beta, or None for independent thresholds. Defaults to 0.0.

    Raises:
        TypeError, ValueError: An argument does not have the form or range given above.

    Examples:
        >>> dict(type='JointSolarize', thr_range=(64, 192), prob=0.2, beta=0)
    """

    takes_deferred = True

    def __init__(
        self,
        thr_range: tuple[float, float] = (64, 192),
        prob: float | Sequence[float] = 0.2,
        beta: float | None = 0.0,
    ) -> None:
        if not isinstance(thr_range, (list, tuple)) or len(thr_range) != 2:
            raise ValueError(f'thr_range must be two numbers (low, high), got {thr_range!r}')
        law = JointDistribution(*thr_range, beta=beta, space='difference')
        if law.low < 0 or law.high > 256:
            raise ValueError(f'thr_range must lie in [0, 256], got {thr_range!r}')
        note = 'Counts where both views are solarized.'
        self.threshold = JointQuantity(
            'threshold', law, 'solarize threshold', unit=' levels', note=note
        )
        self.joint = (self.threshold,)
        self.prob = check_probabilities('prob', prob)

    def sample(self, results: dict) -> tuple[SolarizeParams, SolarizeParams]:
        """Draw the thresholds of a pair and which views are solarized."""
        thresholds = self.threshold.sample()
        first, second = (
            SolarizeParams(threshold, bool(np.random.random_sample() < prob))
            for threshold, prob in zip(thresholds, self.prob, strict=True)
        )
        return first, second

    def apply(self, results: dict, params: SolarizeParams) -> dict:
        """Solarize ``results['img']`` if ``params`` says so."""
        if params.applied:
            # Levels are whole numbers: at least 99.5 is at least 100.
            steps = [('solarize', math.ceil(params.threshold))]
            results['img'] = operations.apply(results['img'], steps)
        return results

    def __repr__(self) -> str:
        law = self.threshold.law
        return (
            f'{self.__class__.__name__}(thr_range=({law.low}, {law.high}), prob={self.prob}, '
            f'beta={law.beta})'
        )
