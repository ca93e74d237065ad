"""ToGray: a view without color."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from ..pixels import operations
from .checks import check_probability


@TRANSFORMS.register_module()
class ToGray(BaseTransform):
    """Replace the colors of a view by their luma (ITU-R 601-2) with a probability.

    The result is within one level of mmcv's ``RandomGrayscale(keep_channels=True,
    channel_weights=(0.114, 0.587, 0.2989))``, without its detour through float64, which costs more
    than all other color operations together.

    Required Keys:

    - img: uint8, BGR or gray; a gray image stays as it is.

    Modified Keys:

    - img

    Args:
        prob (float): Probability that a view becomes gray. Defaults to 0.2, as in SimCLR and MoCo.

    Raises:
        ValueError: ``prob`` is not a probability.

    Examples:
        >>> dict(type='ToGray', prob=0.2)
    """

    takes_deferred = True

    def __init__(self, prob: float = 0.2) -> None:
        self.prob = check_probability('prob', prob)

    def transform(self, results: dict) -> dict:
        """Take the colors out of ``results['img']``, or leave them."""
        img = results['img']
        if np.random.random_sample() < self.prob and img.ndim == 3 and img.shape[2] == 3:
            results['img'] = operations.apply(img, [('gray', 0.0)])
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(prob={self.prob})'
