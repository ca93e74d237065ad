"""JointBlur: Gaussian blur whose sigma ratio over the pair is drawn from JC(beta)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmengine.registry import TRANSFORMS

from ..distributions import JointDistribution
from ..pixels import operations
from .base import JointParams, JointQuantity, JointTransform
from .checks import check_probabilities, check_range


@dataclass(frozen=True)
class BlurParams(JointParams):
    """One view's blur.

    Args:
        sigma (float): Standard deviation of the Gaussian, in pixels of the view.
        applied (bool): Whether this view is blurred at all.
    """

    sigma: float
    applied: bool

    def joint_values(self) -> dict[str, float | None]:
        return dict(sigma=self.sigma if self.applied else None)

    def describe(self) -> str:
        return f'blur σ {self.sigma:.2f} px' if self.applied else 'no blur'


def sigma_quantity(law: JointDistribution | None) -> JointQuantity:
    """Return the declaration of a blur whose sigma follows ``law``."""
    return JointQuantity('sigma', law, 'blur sigma', note='Counts where both views are blurred.')


@TRANSFORMS.register_module()
class JointBlur(JointTransform):
    """Blur both views of a pair with Gaussians whose sigmas are drawn jointly.

    The sigmas follow ``JointDistribution(*sigma_range, beta)``. Each view is then blurred with its
    own probability; the ratio of a pair shows in the pixels only if both views are blurred. The
    kernel reaches four sigma to each side and the border is mirrored. Source: arXiv 2412.16522,
    section 3.3.

    Required Keys:

    - img

    Modified Keys:

    - img
    - view_params

    Args:
        sigma_range (tuple[float, float]): Range of sigma in pixels, above 0. Defaults to (0.1,
            2.0).
        prob (float | tuple[float, float]): Probability that a view is blurred: one number for both
            views or one per view (BYOL and MoCo v3: (1.0, 0.1)). Defaults to 0.5.
        beta (float, optional): JC's beta, or None for independent sigmas. Defaults to 0.0.

    Raises:
        TypeError, ValueError: An argument does not have the form or range given above.

    Examples:
        >>> dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=(1.0, 0.1), beta=0)
    """

    takes_deferred = True

    def __init__(
        self,
        sigma_range: tuple[float, float] = (0.1, 2.0),
        prob: float | Sequence[float] = 0.5,
        beta: float | None = 0.0,
    ) -> None:
        limits = check_range('sigma_range', sigma_range)
        self.sigma = sigma_quantity(JointDistribution(*limits, beta=beta))
        self.joint = (self.sigma,)
        self.prob = check_probabilities('prob', prob)

    def sample(self, results: dict) -> tuple[BlurParams, BlurParams]:
        """Draw the sigmas of a pair and which views are blurred."""
        sigmas = self.sigma.sample()
        first, second = (
            BlurParams(sigma, bool(np.random.random_sample() < prob))
            for sigma, prob in zip(sigmas, self.prob, strict=True)
        )
        return first, second

    def apply(self, results: dict, params: BlurParams) -> dict:
        """Blur ``results['img']`` if ``params`` says so."""
        if params.applied:
            results['img'] = operations.apply(results['img'], [('blur', params.sigma)])
        return results

    def __repr__(self) -> str:
        law = self.sigma.law
        return (
            f'{self.__class__.__name__}(sigma_range=({law.low}, {law.high}), '
            f'prob={self.prob}, beta={law.beta})'
        )
