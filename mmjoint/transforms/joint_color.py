"""JointColor: color jitter whose factors over the pair are drawn from JC(beta)."""

import itertools
from dataclasses import dataclass

import numpy as np
from mmengine.registry import TRANSFORMS

from ..distributions import JointDistribution
from ..pixels import operations
from .base import JointParams, JointQuantity, JointTransform
from .checks import check_probability

_OPERATIONS = ('brightness', 'contrast', 'saturation', 'hue')


@dataclass(frozen=True)
class ColorParams(JointParams):
    """One view's color jitter.

    Args:
        order (tuple[str, ...]): The operations in the order in which they are applied; empty if
            this view is left as it is.
        brightness, contrast, saturation (float): Factors; 1 changes nothing.
        hue (float): Shift, in turns of the color circle, in [-0.5, 0.5].
    """

    order: tuple[str, ...]
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0

    def joint_values(self) -> dict[str, float | None]:
        return {name: getattr(self, name) if name in self.order else None for name in _OPERATIONS}

    def describe(self) -> str:
        factors = [
            f'hue {self.hue:+.3f}'
            if name == 'hue'
            else f'{name}\u00a0×\u00a0{getattr(self, name):.2f}'
            for name in self.order
        ]
        return ', '.join(factors) or 'no color jitter'


def color_quantity(name: str, law: JointDistribution) -> JointQuantity:
    """Return the declaration of a color operation whose factor or shift follows ``law``."""
    unit = ' turns' if name == 'hue' else ''
    return JointQuantity(name, law, unit=unit, note='Counts where both views are jittered.')


@TRANSFORMS.register_module()
class JointColor(JointTransform):
    """Jitter brightness, contrast, saturation and hue of both views of a pair.

    Each factor of a pair follows ``JointDistribution(max(0, 1 - x), 1 + x, beta)``, the hue shift
    ``JointDistribution(-hue, hue, beta, space='difference')``. With ``beta=None`` this is
    torchvision's ``ColorJitter`` under ``RandomApply``. Each view applies the four in a random
    order of its own, with probability ``prob``. Source: arXiv 2412.16522, section 4.5 (JointColor).

    Required Keys:

    - img: uint8, BGR or gray; hue and saturation leave a gray image as it is.

    Modified Keys:

    - img
    - view_params

    Args:
        brightness, contrast, saturation (float): Half the width x of the factor's range [max(0, 1 -
            x), 1 + x], at least 0; 0 leaves the operation out. Default to 0.
        hue (float): Largest hue shift, in turns, in [0, 0.5]. Defaults to 0.
        prob (float): Probability that a view is jittered. Defaults to 1.0.
        beta (float | dict | None): JC's beta of all four quantities, or a dict with the beta of
            some, such as ``dict(brightness=0)``. Quantities with beta None, and those that the dict
            does not name, are drawn independently. Defaults to None.

    Raises:
        TypeError, ValueError: An argument does not have the form or range given above; a factor
        that is to be joint has a range that starts at 0 (x >= 1) and therefore no ratio; or the
        image is not uint8.

    Examples:
        >>> dict(type='JointColor', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1,
        >>>      prob=0.8, beta=dict(brightness=0))
    """

    takes_deferred = True

    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        prob: float = 1.0,
        beta: float | dict | None = None,
    ) -> None:
        self.prob = check_probability('prob', prob)
        self.beta = beta
        widths = dict(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)
        for name, width in widths.items():
            if isinstance(width, bool) or not isinstance(width, (int, float)) or not width >= 0:
                raise ValueError(f'{name} must be a number of at least 0, got {width!r}')
        if hue > 0.5:
            raise ValueError(f'hue must be in [0, 0.5] turns, got {hue!r}')
        used = {name: float(width) for name, width in widths.items() if width}
        if isinstance(beta, dict):
            unused = sorted(set(beta) - set(used))
            if unused:
                raise ValueError(
                    f'beta names {", ".join(map(repr, unused))}, but its operations with a range '
                    f'are {", ".join(used) or "none"}'
                )
            betas = beta
        else:
            betas = dict.fromkeys(used, beta)
        self.joint = tuple(
            color_quantity(name, self._distribution(name, width, betas.get(name)))
            for name, width in used.items()
        )
        self._orders = list(itertools.permutations(used))

    @staticmethod
    def _distribution(name: str, width: float, beta: float | None) -> JointDistribution:
        if name == 'hue':
            return JointDistribution(-width, width, beta, space='difference')
        try:
            return JointDistribution(max(0.0, 1 - width), 1 + width, beta)
        except ValueError as error:
            raise ValueError(f'{name}={width} cannot be joint: {error}') from None

    def sample(self, results: dict) -> tuple[ColorParams, ColorParams]:
        """Draw factors and orders of a pair, and which views are jittered."""
        drawn = {factor.name: factor.sample() for factor in self.joint}
        params = []
        for view in range(2):
            order: tuple[str, ...] = ()
            if np.random.random_sample() < self.prob:
                order = self._orders[int(np.random.random_sample() * len(self._orders))]
            factors = {name: pair[view] for name, pair in drawn.items()}
            params.append(ColorParams(order, **factors))
        return params[0], params[1]

    def apply(self, results: dict, params: ColorParams) -> dict:
        """Apply the operations of ``params`` to ``results['img']``."""
        img = results['img']
        if img.dtype != np.uint8:
            raise TypeError(f'JointColor needs a uint8 image, got {img.dtype}')
        if params.order:
            steps = [(name, getattr(params, name)) for name in params.order]
            results['img'] = operations.apply(img, steps)
        return results

    def __repr__(self) -> str:
        laws = {factor.name: factor.law for factor in self.joint}
        return f'{self.__class__.__name__}({laws}, prob={self.prob})'
