"""Adapters with which mmpretrain's own transforms declare and record what they draw."""

from typing import Any

import numpy as np
from mmcv.transforms import RandomApply
from mmpretrain.datasets.transforms import ColorJitter, GaussianBlur, RandomResizedCrop

from ..distributions import JointDistribution
from ..transforms.base import Declaration, JointParams
from ..transforms.joint_blur import BlurParams, sigma_quantity
from ..transforms.joint_color import ColorParams, color_quantity
from ..transforms.joint_crop import CropParams, crop_quantities


class StockTransform(Declaration):
    """A stock transform that treats each view alone, and appends its record to ``view_params``.

    The pixels and draws are those of the transform inside.

    Args:
        transform (BaseTransform): The transform that makes the view.
    """

    def __init__(self, transform: Any) -> None:
        self.transform = transform
        self._record: Any = None  # a JointParams, from the first draw on

    def sample(self, results: dict) -> JointParams:
        """Draw as the transform does, without touching a pixel."""
        raise NotImplementedError

    def __call__(self, results: dict) -> dict:
        results = self.transform(results)
        results['view_params'].append((type(self.transform).__name__, self._record))
        return results

    def __repr__(self) -> str:
        return repr(self.transform)


class StockCrop(StockTransform):
    """mmpretrain's ``RandomResizedCrop``, recorded as ``CropParams`` with the area of the box."""

    def __init__(self, transform: RandomResizedCrop) -> None:
        super().__init__(transform)
        low, high = transform.crop_ratio_range
        self.joint = crop_quantities(JointDistribution(low, high, beta=None))
        self._draw = transform.rand_crop_params
        transform.rand_crop_params = self._record_draw

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        width, height = self.transform.scale
        return (height, width, *shape[2:])

    def _record_draw(self, img: np.ndarray) -> tuple:
        y, x, h, w = box = self._draw(img)
        height, width = img.shape[:2]
        self._record = CropParams(x, y, w, h, w * h / (width * height), (height, width))
        return box

    def sample(self, results: dict) -> CropParams:
        self._record_draw(results['img'])
        return self._record


class StockBlur(StockTransform):
    """mmpretrain's ``GaussianBlur``, recorded as ``BlurParams``."""

    def __init__(self, transform: GaussianBlur) -> None:
        super().__init__(transform)
        limits, law = transform.magnitude_range, None
        if limits and transform.magnitude_std == 'inf':
            low, high = limits
            high = low + (high - low) * transform.magnitude_level / transform.total_level
            law = JointDistribution(low, high, beta=None)
        self.joint = (sigma_quantity(law),)
        self._disabled, self._magnitude = transform.random_disable, transform.random_magnitude
        transform.random_disable = self._record_choice
        transform.random_magnitude = self._record_sigma

    def _record_choice(self) -> bool:
        disabled = self._disabled()
        sigma = 0.0 if disabled else float(self.transform.radius or 0)
        self._record = BlurParams(sigma, not disabled)
        return disabled

    def _record_sigma(self) -> float:
        sigma = self._magnitude()
        self._record = BlurParams(float(sigma), True)
        return sigma

    def sample(self, results: dict) -> BlurParams:
        if not self._record_choice() and self.transform.radius is None:
            self._record_sigma()
        return self._record


class StockColor(StockTransform):
    """mmpretrain's ``ColorJitter``, alone or in a ``RandomApply``, recorded as ``ColorParams``."""

    _NAMES = ('brightness', 'contrast', 'saturation', 'hue')

    def __init__(self, transform: ColorJitter | RandomApply) -> None:
        super().__init__(transform)
        self._jitter = transform if isinstance(transform, ColorJitter) else next(iter(transform))
        limits = {
            name: ends for name in self._NAMES if (ends := getattr(self._jitter, name)) is not None
        }
        self.joint = tuple(
            color_quantity(
                name,
                JointDistribution(low, high, None, 'difference' if name == 'hue' else 'ratio'),
            )
            for name, (low, high) in limits.items()
        )
        self._draw = self._jitter._rand_params
        self._jitter._rand_params = self._record_draw

    def _record_draw(self) -> tuple:
        order, *values = drawn = self._draw()
        values = dict(zip(self._NAMES, values, strict=True))
        used = {name: float(value) for name, value in values.items() if value is not None}
        names = tuple(self._NAMES[i] for i in order if self._NAMES[i] in used)
        self._record = ColorParams(names, **used)
        return drawn

    def sample(self, results: dict) -> ColorParams:
        self._record = ColorParams(())
        if self.transform is self._jitter or self.transform.random_apply():
            self._record_draw()
        return self._record

    def __call__(self, results: dict) -> dict:
        self._record = ColorParams(())
        return super().__call__(results)


def adapted(transform: Any) -> Any:
    """Return the adapter of a stock transform; anything else unchanged.

    Args:
        transform (Any): A transform of a view pipeline.
    """
    if isinstance(transform, RandomResizedCrop):
        return StockCrop(transform)
    if isinstance(transform, GaussianBlur):
        return StockBlur(transform)
    inner = list(transform) if isinstance(transform, RandomApply) else [transform]
    if len(inner) == 1 and isinstance(inner[0], ColorJitter):
        return StockColor(transform)
    return transform
