"""JointErasing: erased boxes whose area ratio over the pair is drawn from JC(beta)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.registry import TRANSFORMS

from ..distributions import JointDistribution
from ..pixels import operations
from .base import JointParams, JointQuantity, JointTransform
from .checks import check_probabilities, check_range, check_same_size


@dataclass(frozen=True)
class ErasingParams(JointParams):
    """The box that is erased from one view.

    Args:
        x, y (int): Left and top edge in pixels.
        width, height (int): Size in pixels.
        area (float): The area drawn, as a fraction of the view's. The area of the box differs by
            rounding, and is smaller where the box was longer than the view.
        image_shape (tuple[int, int]): (height, width) of the view in pixels.
        seed (int): Seed of the noise.
        applied (bool): Whether the box is erased at all.
    """

    x: int
    y: int
    width: int
    height: int
    area: float
    image_shape: tuple[int, int]
    seed: int
    applied: bool

    def joint_values(self) -> dict[str, float | None]:
        return dict(erased=self.area if self.applied else None)

    def done_values(self) -> dict[str, float | None]:
        share = self.width * self.height / math.prod(self.image_shape)
        return dict(erased=share if self.applied else None)

    def describe(self) -> str:
        if not self.applied:
            return 'nothing erased'
        share = self.width * self.height / math.prod(self.image_shape)
        return f'{self.width} × {self.height} at ({self.x}, {self.y}) erased: {share:.1%}'


@TRANSFORMS.register_module()
class JointErasing(JointTransform):
    """Erase a box from both views of a pair, the areas of the boxes drawn jointly.

    The area fractions follow ``JointDistribution(*area_range, beta)``. Each view then draws its own
    aspect ratio and position; a box longer than the view is cut to it. With ``beta=None`` this is
    mmpretrain's ``RandomErasing``. Source: Random Erasing (arXiv 1708.04896).

    Required Keys:

    - img: uint8, gray or color.

    Modified Keys:

    - img
    - view_params

    Args:
        area_range (tuple[float, float]): Range of the area fraction, in (0, 1]. Defaults to (0.02,
            0.4).
        aspect_ratio_range (tuple[float, float]): Range of width / height, drawn log-uniformly.
            Defaults to (3/10, 10/3).
        prob (float | tuple[float, float]): Probability that a box is erased from a view: one number
            for both views or one per view. Defaults to 0.5.
        beta (float, optional): JC's beta, or None for independent areas. Defaults to 0.0.
        fill (str | float | Sequence[float]): ``'mean'``, the mean color of the view; ``'noise'``,
            levels drawn uniformly for each pixel and channel; a level, or one per channel (BGR), in
            [0, 255]. Defaults to 128.

    Raises:
        TypeError, ValueError: An argument does not have the form or range given above, or ``fill``
        does not have as many levels as the image has channels.

    Examples:
        >>> dict(type='JointErasing', area_range=(0.02, 0.4), prob=0.5, fill='noise', beta=0)
    """

    def __init__(
        self,
        area_range: tuple[float, float] = (0.02, 0.4),
        aspect_ratio_range: tuple[float, float] = (3 / 10, 10 / 3),
        prob: float | Sequence[float] = 0.5,
        beta: float | None = 0.0,
        fill: str | float | Sequence[float] = 128,
    ) -> None:
        low, high = check_range('area_range', area_range)
        if high > 1:
            raise ValueError(f'area_range must not exceed 1, got {area_range!r}')
        note = (
            'Counts where a box is erased from both views. The closed form is about the area '
            'drawn; the line is that of the boxes as cut to the view.'
        )
        self.area = JointQuantity(
            'erased', JointDistribution(low, high, beta), 'erased area', note=note
        )
        self.joint = (self.area,)
        self.aspect_ratio_range = check_range('aspect_ratio_range', aspect_ratio_range)
        self._log_aspect = tuple(math.log(limit) for limit in self.aspect_ratio_range)
        self.prob = check_probabilities('prob', prob)
        self.fill = self._check_fill(fill)

    @staticmethod
    def _check_fill(fill: Any) -> Any:
        if isinstance(fill, str) and fill in ('mean', 'noise'):
            return fill
        levels = fill if isinstance(fill, (list, tuple)) else [fill]
        if not levels or not all(
            isinstance(level, (int, float)) and not isinstance(level, bool) and 0 <= level <= 255
            for level in levels
        ):
            raise ValueError(
                "fill must be 'mean', 'noise', a level in [0, 255] or a level for each channel, "
                f'got {fill!r}'
            )
        return fill

    def sample(self, results: dict) -> tuple[ErasingParams, ErasingParams]:
        """Draw the boxes of a pair on views of the size of ``results['img']``."""
        height, width = results['img'].shape[:2]
        areas = self.area.sample()
        first, second = (
            self._place(area, prob, width, height)
            for area, prob in zip(areas, self.prob, strict=True)
        )
        return first, second

    def _place(self, area: float, prob: float, width: int, height: int) -> ErasingParams:
        applied = bool(np.random.random_sample() < prob)
        low, high = self._log_aspect
        aspect = math.exp(low + (high - low) * np.random.random_sample())
        pixels = area * width * height
        w = min(max(round(math.sqrt(pixels * aspect)), 1), width)
        h = min(max(round(math.sqrt(pixels / aspect)), 1), height)
        x, y = (int(np.random.random_sample() * (free + 1)) for free in (width - w, height - h))
        seed = int(np.random.randint(2**31)) if self.fill == 'noise' else 0
        return ErasingParams(x, y, w, h, area, (height, width), seed, applied)

    def apply(self, results: dict, params: ErasingParams) -> dict:
        """Erase the box of ``params`` from a copy of ``results['img']`` if ``params`` says so."""
        if params.applied:
            img = results['img']
            check_same_size('JointErasing', params.image_shape, img)
            box = params.x, params.y, params.width, params.height
            results['img'] = operations.erase(img, box, self.fill, params.seed)
        return results

    def __repr__(self) -> str:
        law = self.area.law
        return (
            f'{self.__class__.__name__}(area_range=({law.low}, {law.high}), '
            f'aspect_ratio_range={self.aspect_ratio_range}, prob={self.prob}, beta={law.beta}, '
            f'fill={self.fill!r})'
        )
