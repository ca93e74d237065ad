"""JointGray: whether the two views of a pair lose their colors, with a correlation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mmengine.registry import TRANSFORMS

from ..pair_distributions import CorrelatedBernoulli
from ..pixels import operations
from .base import AppliedToOne, JointParams, JointTransform
from .checks import check_probabilities


@dataclass(frozen=True)
class GrayParams(JointParams):
    """Whether one view loses its colors."""

    gray: bool

    def describe(self) -> str:
        return 'gray' if self.gray else 'in color'


@TRANSFORMS.register_module()
class JointGray(JointTransform):
    """Replace the colors of the views of a pair by their luma, with a correlation between the two.

    The views follow ``CorrelatedBernoulli(*prob, rho)``. With ``rho=None`` this is ``ToGray`` on
    each view, whose pixels it makes.

    Required Keys:

    - img: uint8, BGR or gray; a gray image stays as it is.

    Modified Keys:

    - img
    - view_params

    Args:
        prob (float | tuple[float, float]): Probability that a view becomes gray: one number for
            both views or one per view. Defaults to 0.2.
        rho (float, optional): The correlation, within the limits that the probabilities leave.
            Defaults to None, independent.

    Raises:
        TypeError, ValueError: An argument does not have the form or range given above.

    Examples:
        >>> dict(type='JointGray', prob=0.2, rho=1)  # both views of a pair or neither
    """

    takes_deferred = True
    beta_argument: ClassVar[str] = 'rho'

    def __init__(self, prob: float | Sequence[float] = 0.2, rho: float | None = None) -> None:
        law = CorrelatedBernoulli(*check_probabilities('prob', prob), rho)
        self.gray = AppliedToOne('gray', law)
        self.joint = (self.gray,)

    def sample(self, results: dict) -> tuple[GrayParams, GrayParams]:
        """Draw which views of a pair become gray."""
        first, second = map(bool, self.gray.sample())
        return GrayParams(first), GrayParams(second)

    def apply(self, results: dict, params: GrayParams) -> dict:
        """Take the colors out of ``results['img']`` if ``params`` says so."""
        img = results['img']
        if params.gray and img.ndim == 3 and img.shape[2] == 3:
            results['img'] = operations.apply(img, [('gray', 0.0)])
        return results

    def __repr__(self) -> str:
        law: Any = self.gray.law
        return f'{self.__class__.__name__}(prob=({law.p1}, {law.p2}), rho={law.rho})'
