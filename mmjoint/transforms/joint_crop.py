"""JointCrop: crops whose area ratio over the pair is drawn from JC(beta)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.registry import TRANSFORMS

from ..distributions import JointDistribution
from ..pair_distributions import Uniform
from ..pixels import operations
from . import relative_position
from .base import Box, CenterDistance, JointParams, JointQuantity, JointTransform
from .checks import check_range, check_same_size

_POSITIONS = ('uniform', 'center_suppressed', 'semantic')


@dataclass(frozen=True)
class CropParams(JointParams):
    """One view's crop box on the image it is cut from.

    Args:
        x (int): Left edge in pixels.
        y (int): Top edge in pixels.
        width (int): Width in pixels.
        height (int): Height in pixels.
        area (float): The area drawn, as a fraction of the image's area. The area of the box differs
            by rounding, and differs more where no box of the drawn area fitted.
        image_shape (tuple[int, int]): (height, width) of the image in pixels.
        overlap (float, optional): The overlap drawn for the pair, if one was.
        distance (float, optional): The distance of the centers drawn for the pair, if one was.
    """

    x: int
    y: int
    width: int
    height: int
    area: float
    image_shape: tuple[int, int]
    overlap: float | None = None
    distance: float | None = None

    def joint_values(self) -> dict[str, float | None]:
        drawn: dict[str, float | None] = dict(area=self.area)
        if self.overlap is not None:
            drawn['overlap'] = self.overlap
        if self.distance is not None:
            drawn['distance'] = self.distance
        return drawn

    def done_values(self) -> dict[str, float | None]:
        return dict(area=self._share())

    def box(self) -> Box:
        height, width = self.image_shape
        return self.x / width, self.y / height, self.width / width, self.height / height

    def _share(self) -> float:
        return self.width * self.height / math.prod(self.image_shape)

    def describe(self) -> str:
        share = self._share()
        text = (
            f'crop {self.width} × {self.height} at ({self.x}, {self.y}): {share:.1%} of the photo'
        )
        # Rounding to whole pixels changes an area by less than this.
        if abs(share - self.area) > 0.02 * self.area + 0.002:
            text += f'; {self.area:.1%} drawn, which did not fit'
        return text


class CropOverlap(JointQuantity):
    """The intersection of the two boxes as a fraction of the smaller one."""

    def __init__(self, law: Uniform) -> None:
        note = (
            'The closed form is about the overlap drawn; the line is that of the boxes, which '
            'differs where crops of the areas drawn cannot have it.'
        )
        super().__init__('overlap', law, 'overlap of the crops', note=note)

    def compare(self, first: JointParams, second: JointParams, done: bool = False) -> float | None:
        if not done:
            return first.joint_values().get(self.name)
        box1, box2 = first.box(), second.box()
        return None if box1 is None or box2 is None else relative_position.overlap_of(box1, box2)

    def describe(self, t: float) -> str:
        return f'overlap {t:.2f}'


def crop_quantities(law: JointDistribution) -> tuple[JointQuantity, JointQuantity]:
    """Return the declarations of a crop whose area fraction follows ``law``."""
    note = (
        'The closed form is about the area drawn; the line is that of the boxes as cut, which '
        'differs where no box of the drawn area and an allowed aspect ratio fits the photo. '
        'Independent crops draw such an area anew, as torchvision does.'
    )
    return JointQuantity('area', law, 'crop area', note=note), CenterDistance()


@TRANSFORMS.register_module()
class JointCrop(JointTransform):
    """Crop a box of random area, aspect ratio and position, and resize it.

    The area fractions of a pair follow ``JointDistribution(*crop_ratio_range, beta)``. With
    ``beta=None`` they are independent, and the crop is torchvision's ``RandomResizedCrop``, which
    redraws area and aspect ratio until the box fits the image. With a number, the areas of the pair
    are drawn jointly and kept; each view redraws its aspect ratio until its box fits. After ten
    tries both fall back on the largest central box with an allowed aspect ratio. Source: arXiv
    2412.16522, section 3.2, Alg. 1 and appendix G. (The authors' code falls back on the whole
    image; torchvision's fallback keeps the aspect ratio.)

    ``overlap`` or ``distance`` control the relative position of the two crops as well; ``beta``
    keeps controlling their areas. The pair draws its overlap or distance, both views draw aspect
    ratios, and if boxes of these sizes cannot have it in this image, they draw others, ten times.
    After that the pair has the overlap or distance that is nearest to the one drawn among those
    that the boxes tried can have (large crops cannot lie apart). All relative positions with this
    overlap, or all directions with this distance, are equally likely, and so are then all positions
    of the pair in the image.

    The resize is antialiased and within one level of Pillow's (horizontal pass, then vertical
    pass); in rare places within two.

    Required Keys:

    - img
    - semantic_box: from ``LoadSemanticBox``; only for ``position='semantic'``.

    Modified Keys:

    - img
    - img_shape
    - view_params

    Args:
        scale (int | tuple[int, int]): Size of the views in pixels: an int or (width, height), as in
            mmpretrain's ``RandomResizedCrop``. Defaults to 224.
        crop_ratio_range (tuple[float, float]): Range of the area fraction, in (0, 1]. Defaults to
            (0.08, 1.0).
        aspect_ratio_range (tuple[float, float]): Range of width / height, drawn log-uniformly.
            Defaults to (3/4, 4/3).
        beta (float, optional): JC's beta, or None for the baseline. Defaults to 0.0.
        position (str): With ``'uniform'`` both offsets are uniform between their limits. With
            ``'center_suppressed'`` they follow Beta(alpha, alpha) between the same limits. With
            ``'semantic'``, ContrastiveCrop (arXiv 2202.03278), they follow Beta(alpha, alpha)
            between those limits that keep the crop's center in the image's semantic box, as far as
            the image's border permits, and are uniform while the image has no box yet. The areas
            are fractions of the whole image in all cases. Defaults to ``'uniform'``.
        alpha (float): Parameter of the Beta distribution, above 0: 0.6 on ImageNet, 0.1 on small
            images. Not used with ``'uniform'``. Defaults to 0.6.
        interpolation (str): ``'bilinear'`` or ``'bicubic'``. Defaults to ``'bilinear'``.
        overlap (float | tuple[float, float], optional): Limits, in [0, 1], of the uniform
            distribution of the intersection over the smaller crop, or one value for all pairs. (The
            intersection over the union cannot exceed the ratio of the areas, which beta controls;
            this can be any number at any ratio.) Only with ``position='uniform'``. Defaults to
            None, independent positions.
        distance (float | tuple[float, float], optional): Limits of the uniform distribution of the
            distance of the centers, x in widths and y in heights of the image, or one value for all
            pairs. Only with ``position='uniform'`` and without ``overlap``. Defaults to None.
        order (str): Which view gets the larger area drawn: ``'either'``, ``'first'`` or
            ``'second'`` (MoCo's keys, BYOL's targets and DINO's teacher are not symmetric).
            Defaults to ``'either'``.

    Raises:
        TypeError, ValueError: An argument does not have the form or range given above, or crops of
        ``crop_ratio_range`` cannot have the ``overlap`` or ``distance``.

    Examples:
        >>> dict(type='JointCrop', scale=224, crop_ratio_range=(0.2, 1.0), beta=0)
    """

    makes_new_image = True
    takes_deferred = True

    def __init__(
        self,
        scale: int | tuple[int, int] = 224,
        crop_ratio_range: tuple[float, float] = (0.08, 1.0),
        aspect_ratio_range: tuple[float, float] = (3.0 / 4.0, 4.0 / 3.0),
        beta: float | None = 0.0,
        position: str = 'uniform',
        alpha: float = 0.6,
        interpolation: str = 'bilinear',
        overlap: float | Sequence[float] | None = None,
        distance: float | Sequence[float] | None = None,
        order: str = 'either',
    ) -> None:
        sizes = (scale, scale) if isinstance(scale, int) else tuple(scale)
        if len(sizes) != 2 or any(not isinstance(n, int) or n < 1 for n in sizes):
            raise ValueError(f'scale must be a positive int or (width, height), got {scale!r}')
        self.scale = sizes[0], sizes[1]
        self.crop_ratio_range = check_range('crop_ratio_range', crop_ratio_range)
        if self.crop_ratio_range[1] > 1:
            raise ValueError(f'crop_ratio_range must not exceed 1, got {crop_ratio_range!r}')
        self.aspect_ratio_range = check_range('aspect_ratio_range', aspect_ratio_range)
        law = JointDistribution(*self.crop_ratio_range, beta=beta, order=order)
        self.joint: tuple[JointQuantity, ...] = crop_quantities(law)
        self.area = self.joint[0]
        if position not in _POSITIONS:
            raise ValueError(f'position must be one of {_POSITIONS}, got {position!r}')
        if not 0 < alpha < math.inf:
            raise ValueError(f'alpha must be a positive number, got {alpha!r}')
        if interpolation not in ('bilinear', 'bicubic'):
            raise ValueError(
                f"interpolation must be 'bilinear' or 'bicubic', got {interpolation!r}"
            )
        self.position = position
        self.alpha = alpha
        self.interpolation = interpolation
        self._log_aspect = tuple(math.log(limit) for limit in self.aspect_ratio_range)
        self.overlap = self._check_relation('overlap', overlap, 1.0)
        self.distance = self._check_relation('distance', distance, math.sqrt(2))
        if (self.overlap or self.distance) and position != 'uniform':
            raise ValueError(
                "overlap and distance replace the position, and need position='uniform', got "
                f'{position!r}'
            )
        if self.overlap and self.distance:
            raise ValueError('overlap and distance exclude each other: give one of them')
        if self.overlap:
            self.joint = (self.area, CropOverlap(self.overlap), self.joint[1])
        elif self.distance:
            note = 'In widths and heights of the photo. The line is that of the boxes.'
            self.joint = (self.area, CenterDistance(law=self.distance, note=note))

    def _check_relation(self, name: str, limits: Any, most: float) -> Uniform | None:
        """Return the distribution of the overlap or the distance; raise if there is no such."""
        if limits is None:
            return None
        ends = limits if isinstance(limits, (list, tuple)) else (limits, limits)
        if len(ends) != 2:
            raise ValueError(f'{name} must be one number or two (low, high), got {limits!r}')
        law = Uniform(*ends)
        if not 0 <= law.low <= law.high <= most + 1e-9:
            raise ValueError(f'{name} must lie in [0, {most:.4g}], got {limits!r}')
        least_area = self.crop_ratio_range[0]
        # Two parts of at least this share of a whole have this in common.
        shared = 2 - 1 / least_area
        # Boxes in opposite corners, square ones or ones that reach across the image.
        apart = max(math.sqrt(2) * (1 - math.sqrt(least_area)), 1 - least_area)
        if name == 'overlap' and law.high < shared:
            raise ValueError(
                f'overlap={limits!r} is impossible: two crops of at least {least_area:g} of the '
                f'image overlap by at least {shared:.3g}. Let overlap reach that far, or '
                'crop_ratio_range start lower'
            )
        if name == 'distance' and law.low > apart:
            raise ValueError(
                f'distance={limits!r} is impossible: the centers of two crops of at least '
                f'{least_area:g} of the image are at most {apart:.3g} apart. Let distance start '
                'lower, or crop_ratio_range'
            )
        return law

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (self.scale[1], self.scale[0], *shape[2:])

    def sample(self, results: dict) -> tuple[CropParams, CropParams]:
        """Draw the boxes of a pair on the image in ``results['img']``."""
        height, width = results['img'].shape[:2]
        area1, area2 = self.area.sample()
        if self.overlap or self.distance:
            first, second = self._place_pair(area1, area2, width, height)
        else:
            box = self._semantic_box(results) if self.position == 'semantic' else None
            first = self._place(area1, width, height, box)
            second = self._place(area2, width, height, box)
        # Areas that did not fit are drawn anew with beta None.
        return (
            (first, second) if self.area.law.in_order(first.area, second.area) else (second, first)
        )

    @staticmethod
    def _semantic_box(results: dict) -> tuple[float, float, float, float] | None:
        if 'semantic_box' not in results:
            raise ValueError(
                "JointCrop(position='semantic') needs semantic_box: put dict(type="
                "'LoadSemanticBox') before JointView, and ContrastiveCropHook among the hooks"
            )
        return results['semantic_box']

    def _place_pair(
        self, area1: float, area2: float, width: int, height: int
    ) -> tuple[CropParams, CropParams]:
        """Draw the sizes and positions of two crops with the overlap or distance to be drawn."""
        image = (width, height)
        law: Any = self.overlap or self.distance
        drawn = law.sample()
        limits: Callable = relative_position.distance_range
        place: Callable = relative_position.place_by_distance
        if self.overlap:
            limits, place = relative_position.overlap_range, relative_position.place_by_overlap
        least = math.inf
        for _ in range(10):
            sizes = [self._size(area, width, height) for area in (area1, area2)]
            low, high = limits(sizes[0][:2], sizes[1][:2], image)
            possible = min(max(drawn, low), high)
            if abs(possible - drawn) < least:
                least, value = abs(possible - drawn), possible
                (w1, h1, area1, _), (w2, h2, area2, _) = sizes
            if not least:
                break
        x1, y1, x2, y2 = place((w1, h1), (w2, h2), image, value)
        told = dict(overlap=drawn) if self.overlap else dict(distance=drawn)
        return (
            CropParams(x1, y1, w1, h1, area1, (height, width), **told),
            CropParams(x2, y2, w2, h2, area2, (height, width), **told),
        )

    def _place(self, area: float, width: int, height: int, box: tuple | None) -> CropParams:
        """Draw the aspect ratio and position of a crop of the given area fraction."""
        w, h, area, fits = self._size(area, width, height)
        if not fits:
            x, y = (width - w) // 2, (height - h) // 2
        elif box is None:
            x, y = self._between(0, width - w), self._between(0, height - h)
        else:
            x0, y0, x1, y1 = box
            x = self._centered_between(w, width, x0, x1)
            y = self._centered_between(h, height, y0, y1)
        return CropParams(x, y, w, h, area, (height, width))

    def _size(self, area: float, width: int, height: int) -> tuple[int, int, float, bool]:
        """Draw the aspect ratio of a crop; return (width, height, area, whether it fits)."""
        low, high = self._log_aspect
        for attempt in range(10):
            if attempt and self.area.law.beta is None:
                pair = self.area.sample()
                # A pair in order would give one view the larger of two areas.
                ordered = self.area.law.order != 'either'
                area = pair[int(2 * np.random.random_sample())] if ordered else pair[0]
            aspect = math.exp(low + (high - low) * np.random.random_sample())
            pixels = area * width * height
            w, h = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
            if 0 < w <= width and 0 < h <= height:
                return w, h, area, True
        # No box fits: take the largest central box with an allowed aspect ratio.
        aspect = min(max(width / height, self.aspect_ratio_range[0]), self.aspect_ratio_range[1])
        w = min(width, max(1, round(height * aspect)))
        h = min(height, max(1, round(width / aspect)))
        return w, h, area, False

    def _centered_between(self, size: int, extent: int, low: float, high: float) -> int:
        """Draw the offset of a crop whose center should lie between two fractions of the image."""
        free = extent - size
        first = min(max(int(extent * low) - size // 2, 0), free)
        last = min(max(int(extent * high) - size // 2, 0), free)
        return self._between(first, last, suppressed=True)

    def _between(self, first: int, last: int, suppressed: bool = False) -> int:
        """Draw one of the offsets from first to last, both included."""
        if suppressed or self.position == 'center_suppressed':
            u = np.random.beta(self.alpha, self.alpha)
        else:
            u = np.random.random_sample()
        offset = first + int(u * (last - first + 1))
        return offset if offset < last else last

    def apply(self, results: dict, params: CropParams) -> dict:
        """Cut the box of ``params`` out of ``results['img']`` and resize it."""
        img = results['img']
        check_same_size('JointCrop', params.image_shape, img)
        box = params.x, params.y, params.width, params.height
        results['img'] = operations.crop(img, box, self.scale, self.interpolation)
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(scale={self.scale}, '
            f'crop_ratio_range={self.crop_ratio_range}, '
            f'aspect_ratio_range={self.aspect_ratio_range}, beta={self.area.law.beta}, '
            f'position={self.position!r}, alpha={self.alpha}, '
            f'interpolation={self.interpolation!r}, overlap={self.overlap}, '
            f'distance={self.distance}, order={self.area.law.order!r})'
        )
