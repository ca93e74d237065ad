"""Statistics of pairs: what thousands of them draw, without touching a pixel."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

import numpy as np

from ..distributions import JointDistribution
from ..transforms import BlurParams, CropParams, JointCrop, JointView
from ..transforms.base import JointTransform, PairTransform, transform_views
from .source import StockBlur, StockCrop, pair_sets, seed_draws


@dataclass
class Draws:
    """One quantity over many pairs.

    Args:
        values (np.ndarray): One a pair, float64.
        sources (list[JointDistribution | None]): What each value was drawn from, None if unknown.
    """

    values: np.ndarray
    sources: list[JointDistribution | None] = field(default_factory=list)

    def mixture(self) -> list[tuple[float, JointDistribution]] | None:
        """Return the distributions and their shares of the pairs; None unless all are known."""
        known = {id(source): source for source in self.sources}
        if not known or None in known.values():
            return None
        counts = dict.fromkeys(known, 0)
        for source in self.sources:
            counts[id(source)] += 1
        return [(count / len(self.sources), known[key]) for key, count in counts.items()]

    def expected(self, function: str, t: np.ndarray) -> np.ndarray | None:
        """Evaluate ``'density'`` or ``'cdf'`` of what the values were drawn from; None if unknown.

        Args:
            function (str): Which of the two.
            t (np.ndarray): Where.
        """
        mixture = self.mixture()
        if mixture is None:
            return None
        return sum(share * getattr(source, function)(t) for share, source in mixture)

    def kolmogorov_smirnov(self) -> float | None:
        """Return the largest distance of the empirical from the expected distribution function."""
        values = np.sort(self.values)
        expected = self.expected('cdf', values)
        if expected is None or not len(values):
            return None
        steps = np.arange(len(values) + 1) / len(values)
        return float(max((steps[1:] - expected).max(), (expected - steps[:-1]).max()))


@dataclass
class PairStatistics:
    """What the pairs of one set have drawn.

    Args:
        views (tuple[int, int]): Numbers, from 0, of the first pair's views.
        num_pairs (int): How many pairs.
        area (Draws): log(area 2 / area 1) of the areas drawn (of a stock crop: of the boxes).
        cut (np.ndarray): The same of the boxes as cut.
        distance (np.ndarray): Distance of the boxes' centres, x in widths and y in heights of the
            image: from 0 to sqrt(2).
        sigma (Draws): log(sigma 2 / sigma 1) of the pairs whose views are both blurred.
    """

    views: tuple[int, int]
    num_pairs: int
    area: Draws
    cut: np.ndarray
    distance: np.ndarray
    sigma: Draws


def pair_statistics(
    views: JointView, photos: Sequence[dict], num_pairs: int = 5000, seed: int = 0
) -> list[PairStatistics]:
    """Draw the parameters of many pairs and compare the views of each.

    The pipelines are those of training, but for their pixels: joint transforms only sample, and
    transforms that record nothing are left out. (So a stock transform that changes the size of the
    image before the crop is not seen; fractions of the image hardly depend on it.)

    Args:
        views (JointView): Of ``PairSource.build_views``.
        photos (Sequence[dict]): Result dicts with ``img``, gone through in turn.
        num_pairs (int): Pairs of each set, at least. Defaults to 5000.
        seed (int): Of the draws. Defaults to 0.

    Returns:
        list[PairStatistics]: One a set of pairs (``pair_sets``).

    Raises:
        ValueError: There is no photo.
    """
    if not photos:
        raise ValueError('pair_statistics needs at least one photo')
    sets = pair_sets(views.num_views)
    if not sets:
        return []
    rounds = -(-num_pairs // min(map(len, sets)))
    pipelines = [_without_pixels(pipeline) for pipeline in views.pipelines]
    collected = [([], [], [], [], [], []) for _ in sets]
    seed_draws(seed)
    for photo in islice(cycle(photos), rounds):
        drawn = []
        for num, pipeline in zip(views.num_views, pipelines, strict=True):
            start = [
                {**photo, 'img': _blank(photo['img'].shape), 'view_params': []} for _ in range(num)
            ]
            drawn += [view['view_params'] for view in transform_views(pipeline, start)]
        for (area, area_from, cut, distance, sigma, sigma_from), pairs in zip(
            collected, sets, strict=True
        ):
            for i, j in pairs:
                (a, source), (b, _) = (_first(drawn[k], CropParams) for k in (i, j))
                if a and b:
                    area.append(b.area / a.area)
                    area_from.append(getattr(source, 'area', None))
                    cut.append(b.width * b.height / (a.width * a.height))
                    distance.append(np.subtract(_centre(a), _centre(b)))
                (a, source), (b, _) = (_first(drawn[k], BlurParams) for k in (i, j))
                if a and b and a.applied and b.applied:
                    sigma.append(b.sigma / a.sigma)
                    sigma_from.append(getattr(source, 'sigma', None))
    return [
        PairStatistics(
            pairs[0],
            rounds * len(pairs),
            Draws(np.log(area), area_from),
            np.log(cut),
            np.hypot(*np.reshape(distance, (-1, 2)).T),
            Draws(np.log(sigma), sigma_from),
        )
        for (area, area_from, cut, distance, sigma, sigma_from), pairs in zip(
            collected, sets, strict=True
        )
    ]


def _first(drawn: list, kind: type) -> tuple[Any, Any]:
    return next(
        ((params, source) for params, source in drawn if isinstance(params, kind)), (None,) * 2
    )


def _centre(crop: CropParams) -> tuple[float, float]:
    height, width = crop.image_shape
    return (crop.x + crop.width / 2) / width, (crop.y + crop.height / 2) / height


def _blank(shape: tuple[int, ...]) -> np.ndarray:
    """Return an image that takes no memory."""
    return np.broadcast_to(np.uint8(0), shape)


class _Sampled(PairTransform):
    """A joint transform that draws and records, with itself, but applies nothing."""

    def __init__(self, transform: JointTransform) -> None:
        self.source = transform

    def transform_pair(self, views: list[dict]) -> list[dict]:
        for view, params in zip(views, self.source.sample(views[0]), strict=True):
            view['view_params'].append((params, self.source))
            if isinstance(self.source, JointCrop):
                view['img'] = _blank((*self.source.scale[::-1], *view['img'].shape[2:]))
        return views


def _sampled_alone(transform: StockCrop | StockBlur) -> Callable[[dict], dict]:
    def sample(view: dict) -> dict:
        view['view_params'].append((transform.sample(view), transform))
        return view

    return sample


def _without_pixels(pipeline: list) -> list:
    outputs = []
    for transform in pipeline:
        if isinstance(transform, JointTransform):
            outputs.append(_Sampled(transform))
        elif isinstance(transform, PairTransform) and hasattr(transform, 'pipelines'):
            outputs.append(copy.copy(transform))
            outputs[-1].pipelines = [_without_pixels(inner) for inner in transform.pipelines]
        elif isinstance(transform, (StockCrop, StockBlur)):
            outputs.append(_sampled_alone(transform))
    return outputs
