"""JointFlip: whether the two views of a pair are mirrored, with a correlation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mmengine.registry import TRANSFORMS

from ..pair_distributions import CorrelatedBernoulli
from ..pixels import operations
from .base import AppliedToOne, JointParams, JointTransform
from .checks import check_probabilities


@dataclass(frozen=True)
class FlipParams(JointParams):
    """Whether one view is mirrored left to right."""

    flip: bool

    def describe(self) -> str:
        return 'mirrored' if self.flip else 'not mirrored'


@TRANSFORMS.register_module()
class JointFlip(JointTransform):
    """Mirror the views of a pair left to right, with a correlation between the two.

    The views follow ``CorrelatedBernoulli(*prob, rho)``: at rho 0.5 and probability 0.5, three
    pairs of four are mirrored both or neither. With ``rho=None`` this is ``HorizontalFlip`` on each
    view.

    Required Keys:

    - img

    Modified Keys:

    - img
    - view_params

    Added Keys:

    - flip (bool)
    - flip_direction (str | None): ``'horizontal'``, or None if not flipped.

    Args:
        prob (float | tuple[float, float]): Probability that a view is mirrored: one number for both
            views or one per view. Defaults to 0.5.
        rho (float, optional): The correlation, within the limits that the probabilities leave.
            Defaults to None, independent.

    Raises:
        TypeError, ValueError: An argument does not have the form or range given above.

    Examples:
        >>> dict(type='JointFlip', prob=0.5, rho=-1)  # exactly one view of each pair
    """

    takes_deferred = True
    beta_argument: ClassVar[str] = 'rho'

    def __init__(self, prob: float | Sequence[float] = 0.5, rho: float | None = None) -> None:
        law = CorrelatedBernoulli(*check_probabilities('prob', prob), rho)
        self.flip = AppliedToOne('flip', law)
        self.joint = (self.flip,)

    def sample(self, results: dict) -> tuple[FlipParams, FlipParams]:
        """Draw which views of a pair are mirrored."""
        first, second = map(bool, self.flip.sample())
        return FlipParams(first), FlipParams(second)

    def apply(self, results: dict, params: FlipParams) -> dict:
        """Mirror ``results['img']`` if ``params`` says so."""
        if params.flip:
            results['img'] = operations.mirror(results['img'])
        results['flip'] = params.flip
        results['flip_direction'] = 'horizontal' if params.flip else None
        return results

    def __repr__(self) -> str:
        law: Any = self.flip.law
        return f'{self.__class__.__name__}(prob=({law.p1}, {law.p2}), rho={law.rho})'
