"""Solarization: a view whose light parts are inverted."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from ..pixels import operations
from .checks import check_probability


@TRANSFORMS.register_module()
class Solarization(BaseTransform):
    """Invert all levels of at least ``thr`` with a probability, each view by itself.

    The pixels are those of mmpretrain's ``Solarize(thr, prob)``, which JointView takes too, in less
    time. Source: BYOL (arXiv 2006.07733, appendix B).

    Required Keys:

    - img: uint8.

    Modified Keys:

    - img

    Args:
        thr (int): Lowest level that is inverted, in [0, 256]. Defaults to 128.
        prob (float): Probability that a view is solarized. Defaults to 0.2.

    Raises:
        ValueError: ``thr`` or ``prob`` is out of its range.

    Examples:
        >>> dict(type='PerView', transforms=[[], [dict(type='Solarization', prob=0.2)]])
    """

    takes_deferred = True

    def __init__(self, thr: int = 128, prob: float = 0.2) -> None:
        if isinstance(thr, bool) or not isinstance(thr, int) or not 0 <= thr <= 256:
            raise ValueError(f'thr must be a level, an int in [0, 256], got {thr!r}')
        self.thr = thr
        self.prob = check_probability('prob', prob)

    def transform(self, results: dict) -> dict:
        """Solarize ``results['img']``, or leave it."""
        if np.random.random_sample() < self.prob:
            results['img'] = operations.apply(results['img'], [('solarize', self.thr)])
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(thr={self.thr}, prob={self.prob})'
