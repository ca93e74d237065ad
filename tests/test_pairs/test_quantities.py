"""How the views of a pair differ, read from their records."""

import math

import pytest

from mmjoint.pairs.quantities import pair_differences, quantities_of
from mmjoint.transforms import BlurParams, ColorParams, CropParams, JointView


def crop(area: float) -> tuple:
    return ('JointCrop', CropParams(0, 0, 1, 1, area, (4, 4)))


@pytest.fixture
def quantities():
    color = dict(type='JointColor', brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
    views = JointView([[dict(type='JointCrop'), color, dict(type='JointBlur')]], 2)
    return quantities_of(views)


def test_what_is_declared(quantities):
    assert {name: quantity.space for name, quantity in quantities.items()} == dict(
        area='ratio',
        distance='pair',
        brightness='ratio',
        contrast='ratio',
        saturation='ratio',
        hue='difference',
        sigma='ratio',
    )


def test_differences(quantities):
    order = ('hue', 'brightness')
    first = [crop(0.2), ('JointBlur', BlurParams(0.5, True))]
    second = [crop(0.8), ('JointBlur', BlurParams(0.25, True))]
    first.append(('JointColor', ColorParams(order, brightness=0.5, hue=0.1)))
    second.append(('JointColor', ColorParams(order[::-1], brightness=1.5, hue=-0.05)))
    expected = dict(
        area=math.log(4), sigma=-math.log(2), brightness=math.log(3), hue=-0.15, distance=0
    )
    assert pair_differences(first, second, quantities) == pytest.approx(expected)
    # What one of the views did not undergo is left out.
    second[1] = ('JointBlur', BlurParams(0.25, False))
    second[2] = ('JointColor', ColorParams((), brightness=1.5, hue=-0.05))
    assert list(pair_differences(first, second, quantities)) == ['area', 'distance']


def test_what_was_carried_out(quantities):
    """Boxes of 2 x 4 and 4 x 4 pixels on 8 x 10, whose areas were drawn as 0.1 and 0.3."""
    first = [('JointCrop', CropParams(0, 0, 2, 4, 0.1, (8, 10)))]
    second = [('JointCrop', CropParams(6, 4, 4, 4, 0.3, (8, 10)))]
    distance = math.hypot(0.7, 0.5)
    drawn = dict(area=math.log(3), distance=distance)
    assert pair_differences(first, second, quantities) == pytest.approx(drawn)
    done = dict(area=math.log(2), distance=distance)
    assert pair_differences(first, second, quantities, done=True) == pytest.approx(done)


def test_a_factor_of_zero_has_no_ratio(quantities):
    records = [[('JointColor', ColorParams(('contrast',), contrast=c))] for c in (0.0, 1.0)]
    assert pair_differences(*records, quantities) == {}
