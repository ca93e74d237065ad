"""HorizontalFlip: a view mirrored left to right."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from ..pixels import operations
from .checks import check_probability


@TRANSFORMS.register_module()
class HorizontalFlip(BaseTransform):
    """Mirror a view left to right with a probability, each view by itself.

    The pixels are those of mmcv's ``RandomFlip(prob)``, which JointView takes too, without the time
    that ``RandomFlip`` spends on boxes, masks and key points.

    Required Keys:

    - img

    Modified Keys:

    - img

    Added Keys:

    - flip (bool)
    - flip_direction (str | None): ``'horizontal'``, or None if not flipped.

    Args:
        prob (float): Probability that a view is mirrored. Defaults to 0.5.

    Raises:
        ValueError: ``prob`` is not a probability.

    Examples:
        >>> dict(type='HorizontalFlip', prob=0.5)
    """

    takes_deferred = True

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = check_probability('prob', prob)

    def transform(self, results: dict) -> dict:
        """Mirror ``results['img']``, or leave it."""
        flip = bool(np.random.random_sample() < self.prob)
        if flip:
            results['img'] = operations.mirror(results['img'])
        results['flip'] = flip
        results['flip_direction'] = 'horizontal' if flip else None
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(prob={self.prob})'
