"""Statistics of pairs: the parameters that thousands of pairs draw, without touching a pixel."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

import numpy as np

from ..distributions import JointDistribution
from ..transforms import JointView
from ..transforms.base import Declaration, JointParams, JointQuantity, JointTransform, PairTransform
from ..transforms.draws import seed_draws
from ..transforms.joint_view import transform_views
from .quantities import quantities_of
from .source import pair_sets
from .stock import StockTransform


@dataclass
class Draws:
    """The values of one quantity over many pairs.

    Args:
        quantity (JointQuantity): The quantity.
        values (np.ndarray): t of each pair that underwent it, as drawn, float64.
        done (np.ndarray): t of the same pairs as carried out, float64.
        laws (list[JointDistribution | None]): The distribution of each pair, None if unknown.
    """

    quantity: JointQuantity
    values: np.ndarray
    done: np.ndarray
    laws: list[JointDistribution | None] = field(default_factory=list)

    def mixture(self) -> list[tuple[float, JointDistribution]] | None:
        """Return the distributions and their shares of the pairs; None unless all are known."""
        laws = [law for law in self.laws if law is not None]
        if not laws or len(laws) < len(self.laws):
            return None
        known = {id(law): law for law in laws}
        counts = dict.fromkeys(known, 0)
        for law in laws:
            counts[id(law)] += 1
        return [(count / len(self.laws), known[key]) for key, count in counts.items()]

    def expected(self, function: str, t: np.ndarray) -> np.ndarray | None:
        """Evaluate ``'density'`` or ``'cdf'`` of the distribution from which the values were drawn.

        Returns None if the distribution is unknown or has no density.

        Args:
            function (str): ``'density'`` or ``'cdf'``.
            t (np.ndarray): The points at which to evaluate it.
        """
        mixture = self.mixture()
        if mixture is None or not (function == 'cdf' or all(law.has_density for _, law in mixture)):
            return None
        return sum(share * getattr(law, function)(t) for share, law in mixture)

    def kolmogorov_smirnov(self) -> float | None:
        """Return the largest distance of the empirical from the expected distribution function.

        This works for distributions with and without a density.
        """
        values, counts = np.unique(self.values, return_counts=True)
        expected = self.expected('cdf', values)
        if expected is None or not len(values):
            return None
        at = np.cumsum(counts) / counts.sum()
        below = self.expected('cdf', np.nextafter(values, -np.inf))
        before = np.concatenate([[0], at[:-1]])
        return float(max(np.abs(at - expected).max(), np.abs(below - before).max()))


@dataclass
class PairStatistics:
    """The parameters that the pairs of one set have drawn.

    Args:
        views (tuple[int, int]): Numbers, from 0, of the first pair's views.
        num_pairs (int): Number of pairs.
        draws (dict[str, Draws]): Maps the name of a quantity to the values that the pairs drew.
    """

    views: tuple[int, int]
    num_pairs: int
    draws: dict[str, Draws]


def pair_statistics(
    views: JointView, photos: Sequence[dict], num_pairs: int = 5000, seed: int = 0
) -> list[PairStatistics]:
    """Draw the parameters of many pairs and compare the views of each.

    The pipelines are those of training, without the pixels: joint transforms only sample, and
    transforms that record nothing are left out. (A stock transform that changes the size of the
    image before the crop is therefore not seen; fractions of the image hardly depend on it.)

    Args:
        views (JointView): The views, from ``PairSource.build_views``.
        photos (Sequence[dict]): Result dicts with ``img``, used in turn.
        num_pairs (int): Pairs of each set, at least. Defaults to 5000.
        seed (int): Seed of the draws. Defaults to 0.

    Returns:
        list[PairStatistics]: One per set of pairs (``pair_sets``).

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
    quantities = quantities_of(views)
    collected: list[dict[str, tuple[list, list, list]]] = [
        {name: ([], [], []) for name in quantities} for _ in sets
    ]
    seed_draws(seed)
    for photo in islice(cycle(photos), rounds):
        drawn = []
        for group, (num, pipeline) in enumerate(zip(views.num_views, pipelines, strict=True)):
            start = [
                {**photo, 'img': _blank(photo['img'].shape), 'view_params': []} for _ in range(num)
            ]
            views.couple(group, start)
            made = transform_views(pipeline, start)
            assert made is not None  # what draws without pixels drops no view
            drawn += [view['view_params'] for view in made]
        for own, pairs in zip(collected, sets, strict=True):
            for i, j in pairs:
                for name, quantity in quantities.items():
                    _collect(own[name], quantity, drawn[i], drawn[j])
    return [
        PairStatistics(
            pairs[0],
            rounds * len(pairs),
            {
                name: Draws(quantities[name], np.array(values), np.array(done), laws)
                for name, (values, done, laws) in own.items()
            },
        )
        for own, pairs in zip(collected, sets, strict=True)
    ]


def _collect(
    into: tuple[list, list, list], quantity: JointQuantity, first: list, second: list
) -> None:
    """Add the t of one pair, as drawn and as carried out, and its distribution."""
    found = [
        next((r for r in records if quantity.declared_by(r[0])), None)
        for records in (first, second)
    ]
    one, other = found
    if one is None or other is None:
        return
    (a, declared), (b, declared_too) = one, other
    t = quantity.compare(a, b)
    if t is None:
        return
    laws = [_law(source, quantity.name) for source in (declared, declared_too)]
    # Views with separate pipelines may be drawn from two distributions; t then follows neither.
    law = laws[0] if repr(laws[0]) == repr(laws[1]) else None
    done = quantity.compare(a, b, done=True)
    for values, value in zip(into, (t, t if done is None else done, law), strict=True):
        values.append(value)


def _law(source: Declaration, name: str) -> JointDistribution | None:
    return next((q.law for q in source.joint if q.name == name), None)


def _blank(shape: tuple[int, ...]) -> np.ndarray:
    """Return an image that needs no memory."""
    return np.broadcast_to(np.uint8(0), shape)


def _note(view: dict, record: JointParams, source: Declaration) -> dict:
    view['view_params'].append((record, source))
    view['img'] = _blank(source.shape_after(view['img'].shape))
    return view


class _SampledPair(PairTransform):
    """A joint transform that draws and records, together with itself, but applies nothing."""

    def __init__(self, source: JointTransform) -> None:
        self.source = source

    def transform_pair(self, views: list[dict]) -> list[dict]:
        records = self.source.draw(views[0])
        return [_note(v, r, self.source) for v, r in zip(views, records, strict=True)]


class _SampledView:
    """A stock transform that draws and records, but applies nothing."""

    def __init__(self, source: StockTransform) -> None:
        self.source = source

    def __call__(self, view: dict) -> dict:
        return _note(view, self.source.sample(view), self.source)


def _without_pixels(pipeline: list) -> list:
    outputs: list[Any] = []
    for transform in pipeline:
        if isinstance(transform, JointTransform):
            outputs.append(_SampledPair(transform))
        elif isinstance(transform, PairTransform):
            outputs.append(copy.copy(transform))
            outputs[-1].pipelines = [_without_pixels(inner) for inner in transform.pipelines]
        elif isinstance(transform, StockTransform):
            outputs.append(_SampledView(transform))
    return outputs
