"""The views of each recipe as numbers that any library can be given."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class View:
    """The parameters of one view.

    Args:
        size (int): Side of the view in pixels.
        area (tuple[float, float]): Range of the crop's area, as a fraction of the photo's.
        interpolation (str): Interpolation of the crop's resize: ``'bilinear'`` or ``'bicubic'``.
        brightness, contrast, saturation (float): Half the width of each factor's range, around 1.
        hue (float): Largest shift of the hue in turns.
        color_prob (float): Probability that these four are applied.
        gray_prob (float): Probability of losing the colors.
        blur_sigma (tuple[float, float]): Range of the Gaussian's standard deviation in pixels.
        blur_prob (float): Probability of the blur.
        solarize_threshold (int): Lowest level, of 255, that is inverted.
        solarize_prob (float): Probability of solarizing.
        flip_prob (float): Probability of a horizontal flip.
        flip_last (bool): Whether the flip is the last step; otherwise it follows the crop.
    """

    size: int
    area: tuple[float, float]
    brightness: float
    contrast: float
    saturation: float
    hue: float
    interpolation: str = 'bilinear'
    color_prob: float = 0.8
    gray_prob: float = 0.2
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    blur_prob: float = 0.5
    solarize_threshold: int = 128
    solarize_prob: float = 0.0
    flip_prob: float = 0.5
    flip_last: bool = False

    def in_order(self, steps: Mapping[str, Any]) -> list:
        """Return a library's steps in this view's order, without those of probability 0.

        Args:
            steps (Mapping[str, Any]): ``crop``, ``flip``, ``color``, ``gray``, ``blur`` and
                ``solarize``.

        Returns:
            list: The steps that this view has.
        """
        names = ['color', 'gray', 'blur', 'solarize']
        names = ['crop', *names, 'flip'] if self.flip_last else ['crop', 'flip', *names]
        return [
            steps[name] for name in names if name == 'crop' or getattr(self, f'{name}_prob') > 0
        ]


_SIMCLR = View(224, (0.08, 1.0), 0.8, 0.8, 0.8, 0.2)
_MOCOV2 = View(224, (0.2, 1.0), 0.4, 0.4, 0.4, 0.1, flip_last=True)
_MOCOV3 = replace(_MOCOV2, saturation=0.2, blur_prob=1.0)
_GLOBAL = View(160, (0.4, 1.0), 0.4, 0.4, 0.2, 0.1, interpolation='bicubic', blur_prob=1.0)
_LOCAL = replace(_GLOBAL, size=96, area=(0.05, 0.4), blur_prob=0.5)
_SMALL = View(64, (0.2, 1.0), 0.4, 0.4, 0.4, 0.1, blur_prob=0.0)

# The views of one photo, in order.
RECIPES: dict[str, tuple[View, ...]] = {
    'simclr': (_SIMCLR, _SIMCLR),
    'mocov2': (_MOCOV2, _MOCOV2),
    'mocov3': (_MOCOV3, replace(_MOCOV3, blur_prob=0.1, solarize_prob=0.2)),
    'multicrop': (_GLOBAL, replace(_GLOBAL, blur_prob=0.1, solarize_prob=0.2), *[_LOCAL] * 4),
    'small': (_SMALL, _SMALL),
}
# The config file of each recipe in configs/_base_/views.
CONFIGS = {name: name for name in RECIPES} | {'multicrop': 'dino_multicrop'}
