"""JointRotation: rotation whose difference of angles over the pair is drawn from JC(beta)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmengine.registry import TRANSFORMS

from ..distributions import JointDistribution
from ..pixels import operations
from .base import JointParams, JointQuantity, JointTransform
from .checks import check_probabilities


@dataclass(frozen=True)
class RotationParams(JointParams):
    """One view's rotation.

    Args:
        angle (float): Degrees, counterclockwise.
        applied (bool): Whether this view is rotated at all.
    """

    angle: float
    applied: bool

    def joint_values(self) -> dict[str, float | None]:
        return dict(angle=self.angle if self.applied else None)

    def describe(self) -> str:
        return f'rotation {self.angle:+.1f}°' if self.applied else 'no rotation'


@TRANSFORMS.register_module()
class JointRotation(JointTransform):
    """Rotate both views of a pair about their centers by angles that are drawn jointly.

    The angles follow ``JointDistribution(-limit, limit, beta, space='difference')``. With
    ``beta=None`` this is torchvision's ``RandomRotation(limit)`` under ``RandomApply``. Corners
    that the rotated view does not cover get the color ``fill``.

    Required Keys:

    - img: uint8 or float32.

    Modified Keys:

    - img
    - view_params

    Args:
        limit (float): Largest angle in degrees, in (0, 180]. Defaults to 30.
        prob (float | tuple[float, float]): Probability that a view is rotated: one number for both
            views or one per view. Defaults to 1.0.
        beta (float, optional): JC's beta, or None for independent angles. Defaults to 0.0.
        fill (float): Level of the uncovered corners. Defaults to 0.
        interpolation (str): ``'nearest'``, ``'bilinear'`` or ``'bicubic'``. Defaults to
            ``'bilinear'``.

    Raises:
        TypeError, ValueError: An argument does not have the form or range given above.

    Examples:
        >>> dict(type='JointRotation', limit=30, prob=0.5, beta=0)
    """

    def __init__(
        self,
        limit: float = 30.0,
        prob: float | Sequence[float] = 1.0,
        beta: float | None = 0.0,
        fill: float = 0,
        interpolation: str = 'bilinear',
    ) -> None:
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 < limit <= 180:
            raise ValueError(f'limit must be an angle in (0, 180] degrees, got {limit!r}')
        law = JointDistribution(-limit, limit, beta, space='difference')
        note = 'Counts where both views are rotated.'
        self.angle = JointQuantity('angle', law, 'rotation', unit='°', note=note)
        self.joint = (self.angle,)
        self.prob = check_probabilities('prob', prob)
        if isinstance(fill, bool) or not isinstance(fill, (int, float)) or not 0 <= fill <= 255:
            raise ValueError(f'fill must be a level in [0, 255], got {fill!r}')
        self.fill = fill
        if interpolation not in operations.INTERPOLATIONS:
            raise ValueError(
                f'interpolation must be one of {tuple(operations.INTERPOLATIONS)}, got '
                f'{interpolation!r}'
            )
        self.interpolation = interpolation

    def sample(self, results: dict) -> tuple[RotationParams, RotationParams]:
        """Draw the angles of a pair and which views are rotated."""
        angles = self.angle.sample()
        first, second = (
            RotationParams(angle, bool(np.random.random_sample() < prob))
            for angle, prob in zip(angles, self.prob, strict=True)
        )
        return first, second

    def apply(self, results: dict, params: RotationParams) -> dict:
        """Rotate ``results['img']`` if ``params`` says so."""
        if params.applied:
            results['img'] = operations.rotate(
                results['img'], params.angle, self.fill, self.interpolation
            )
        return results

    def __repr__(self) -> str:
        law = self.angle.law
        return (
            f'{self.__class__.__name__}(limit={law.high}, prob={self.prob}, beta={law.beta}, '
            f'fill={self.fill}, interpolation={self.interpolation!r})'
        )
