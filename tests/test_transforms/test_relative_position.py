"""The relative position of two crops against positions tried at random, and JointCrop's laws."""

import math

import numpy as np
import pytest
from scipy import stats

from mmjoint.distributions import JointDistribution
from mmjoint.transforms import JointCrop
from mmjoint.transforms.relative_position import (
    distance_range,
    overlap_of,
    overlap_range,
    place_by_distance,
    place_by_overlap,
)

IMAGE = (1200, 1000)
SIZES = [((500, 400), (600, 300)), ((900, 300), (700, 800)), ((400, 400), (400, 400))]


def tried(first, second, measure, value, width):
    """Offsets of uniform pairs of boxes for which the measure is near a value, by their weights.

    A pair's position in the image is uniform given its offset, so the offset alone is compared;
    uniform positions favor an offset by the room that it leaves, which the weights take out.
    """
    rng = np.random.default_rng(0)
    reach = [(a - whole, whole - b) for a, b, whole in zip(first, second, IMAGE, strict=True)]
    offsets = np.stack([rng.uniform(*ends, 2_000_000) for ends in reach], axis=1)
    return offsets[np.abs(measure(offsets) - value) < width]


def overlaps(first, second):
    def measure(offsets):
        shared = 1.0
        for axis in (0, 1):
            start = np.maximum(0, offsets[:, axis])
            end = np.minimum(first[axis], offsets[:, axis] + second[axis])
            shared = shared * np.maximum(0, end - start)
        return shared / min(math.prod(first), math.prod(second))

    return measure


def distances(first, second):
    def measure(offsets):
        half = (np.array(second) - first) / 2
        return np.hypot(*((offsets + half) / IMAGE).T)

    return measure


@pytest.mark.parametrize('first,second', SIZES)
@pytest.mark.parametrize('kind', ['overlap', 'distance'])
def test_offsets_are_those_of_positions_tried_at_random(first, second, kind):
    limits, place, measure = {
        'overlap': (overlap_range, place_by_overlap, overlaps(first, second)),
        'distance': (distance_range, place_by_distance, distances(first, second)),
    }[kind]
    low, high = limits(first, second, IMAGE)
    np.random.seed(0)
    for share in (0.3, 0.7):
        value = low + share * (high - low)
        boxes = np.array([place(first, second, IMAGE, value) for _ in range(3_000)])
        x1, y1, x2, y2 = boxes.T
        assert min(x1.min(), x2.min(), y1.min(), y2.min()) >= 0
        assert max(x1.max() + first[0], x2.max() + second[0]) <= IMAGE[0]
        assert max(y1.max() + first[1], y2.max() + second[1]) <= IMAGE[1]
        offsets = np.stack([x2 - x1, y2 - y1], axis=1)
        assert np.abs(measure(offsets) - value).max() < 0.004
        want = tried(first, second, measure, value, 0.002)
        for axis in (0, 1):
            assert alike(offsets[:, axis], want[:, axis], within=4)


def alike(values, others, within):
    """Whether two samples have one distribution, but for moves of less than `within` pixels."""
    grid = np.linspace(-1200, 1200, 601)
    own, below, above = (
        np.searchsorted(np.sort(a), grid + move, 'right') / len(a)
        for a, move in ((values, 0), (others, -within), (others, within))
    )
    limit = 1.95 * math.sqrt(1 / len(values) + 1 / len(others))  # one of 1,000 samples exceeds it
    return (own > below - limit).all() and (own < above + limit).all()


def test_ranges_and_ends():
    assert overlap_range((8, 8), (8, 8), (10, 10)) == (36 / 64, 1)
    assert overlap_range((4, 4), (2, 8), (10, 10)) == (0, 0.5)
    np.random.seed(0)
    for _ in range(200):
        x1, y1, x2, y2 = place_by_overlap((4, 4), (2, 8), (10, 10), 0.0)
        assert overlap_of((x1, y1, 4, 4), (x2, y2, 2, 8)) == 0 and y2 + 8 <= 10 >= x2 + 2
        x1, y1, x2, y2 = place_by_overlap((4, 4), (2, 8), (10, 10), 0.5)
        assert overlap_of((x1, y1, 4, 4), (x2, y2, 2, 8)) == 0.5
    _, far = distance_range((4, 4), (2, 8), (10, 10))
    x1, y1, x2, y2 = place_by_distance((4, 4), (2, 8), (10, 10), far)
    assert {x1, x2} in ({0, 8}, {6, 0}) and {y1, y2} in ({0, 2}, {6, 0})


@pytest.mark.parametrize('beta', [None, 0, -2])
@pytest.mark.parametrize('law', [dict(overlap=(0.2, 0.6)), dict(distance=(0.1, 0.3))])
def test_crops_have_what_was_drawn_and_the_areas_keep_their_law(beta, law):
    crop = JointCrop(crop_ratio_range=(0.08, 0.5), beta=beta, **law)
    ((name, (low, high)),) = law.items()
    quantity = next(q for q in crop.joint if q.name == name)
    np.random.seed(0)
    pairs = [crop.sample(dict(img=np.empty((800, 800)))) for _ in range(4_000)]
    drawn = np.array([quantity.compare(*pair) for pair in pairs])
    done = np.array([quantity.compare(*pair, done=True) for pair in pairs])
    assert stats.kstest(drawn, stats.uniform(low, high - low).cdf).pvalue > 1e-3
    assert np.mean(np.abs(drawn - done) > 0.01) < 0.02
    t = [math.log(second.area / first.area) for first, second in pairs]
    assert stats.kstest(t, JointDistribution(0.08, 0.5, beta).cdf).pvalue > 1e-3


def test_large_crops_have_the_nearest_overlap_that_they_can():
    crop = JointCrop(crop_ratio_range=(0.6, 1.0), beta=0, overlap=(0.0, 0.4))
    np.random.seed(0)
    for _ in range(200):
        first, second = crop.sample(dict(img=np.empty((400, 400))))
        sizes = [(params.width, params.height) for params in (first, second)]
        low, _ = overlap_range(*sizes, (400, 400))
        done = overlap_of(first.box(), second.box())
        assert done == pytest.approx(max(low, first.overlap), abs=0.01)


@pytest.mark.parametrize('order,sign', [('first', -1), ('second', 1)])
@pytest.mark.parametrize('beta', [None, 2, 0, -2])
def test_order(order, sign, beta):
    crop = JointCrop(crop_ratio_range=(0.2, 1.0), beta=beta, order=order)
    np.random.seed(0)
    # On this panorama many areas do not fit, which beta None draws anew.
    pairs = [crop.sample(dict(img=np.empty((300, 900)))) for _ in range(500)]
    assert all(sign * (second.area - first.area) >= 0 for first, second in pairs)
    law, either = crop.area.law, JointDistribution(0.2, 1.0, beta)
    t = [math.log(a2 / a1) for a1, a2 in (law.sample() for _ in range(5_000))]
    assert stats.kstest(t, law.cdf).pvalue > 1e-3
    grid = np.linspace(0.01, 1.6, 50)
    assert law.density(sign * grid) == pytest.approx(2 * either.density(grid))
    assert not law.density(-sign * grid).any()
    assert law.cdf(np.array([-2.0, 2.0])) == pytest.approx([0, 1])


def test_no_law_of_the_position_is_todays_crop():
    np.random.seed(0)
    plain = [JointCrop().sample(dict(img=np.empty((90, 120)))) for _ in range(50)]
    np.random.seed(0)
    given = JointCrop(overlap=None, distance=None, order='either')
    assert [given.sample(dict(img=np.empty((90, 120)))) for _ in range(50)] == plain


@pytest.mark.parametrize(
    'kwargs,word',
    [
        (dict(overlap=(0.0, 1.2)), r'overlap must lie in \[0, 1\]'),
        (dict(overlap=(0.5, 0.2)), 'low must not be above high'),
        (dict(distance=1.5), r'distance must lie in \[0, 1.414\]'),
        (dict(overlap=0.5, distance=0.5), 'exclude each other'),
        (dict(overlap=0.5, position='center_suppressed'), "need position='uniform'"),
        (
            dict(overlap=(0, 0.2), crop_ratio_range=(0.6, 1.0)),
            'at least 0.6 of the image overlap by at least 0.333',
        ),
        (dict(distance=0.9, crop_ratio_range=(0.2, 1.0)), 'are at most 0.8 apart'),
        (dict(order='key'), "order must be 'either', 'first' or 'second', got 'key'"),
    ],
)
def test_impossible_laws(kwargs, word):
    with pytest.raises(ValueError, match=word):
        JointCrop(**kwargs)
