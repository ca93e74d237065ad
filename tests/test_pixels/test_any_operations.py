"""Lists of operations of any kind: many at once are the same as one after the other."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmjoint.pixels import operations, tolerances

factors = st.floats(0, 2)
operation = st.one_of(
    *[st.tuples(st.just(name), factors) for name in ('brightness', 'contrast', 'saturation')],
    st.tuples(st.just('hue'), st.floats(-0.5, 0.5)),
    st.tuples(st.just('blur'), st.floats(0.1, 3)),
    st.tuples(st.just('solarize'), st.integers(0, 255).map(float)),
    st.tuples(st.just('gray'), st.just(0.0)),
)
images = st.builds(
    lambda seed, height, width: np.random.default_rng(seed).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    ),
    st.integers(0, 1000),
    st.integers(1, 70),
    st.integers(1, 70),
)
small = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.usefixtures('each_way')
@small
@given(images, st.lists(operation, max_size=6))
def test_a_list_of_operations_is_the_operations_one_by_one(img, steps):
    kept = img.copy()
    one_by_one = img
    for step in steps:
        one_by_one = operations.apply(one_by_one, [step])
    together = operations.apply(img, steps)
    assert together.shape == img.shape and together.dtype == np.uint8
    np.testing.assert_array_equal(together, one_by_one)
    np.testing.assert_array_equal(img, kept)
    if steps and steps[-1][0] == 'gray':
        assert (together == together[..., :1]).all()


@pytest.mark.usefixtures('each_way')
@small
@given(images, st.data(), st.booleans(), st.lists(operation, max_size=4))
def test_a_deferred_view_is_the_one_that_is_made_at_once(img, data, mirrored, steps):
    height, width = img.shape[:2]
    columns, rows = data.draw(st.integers(1, width)), data.draw(st.integers(1, height))
    box = data.draw(st.integers(0, width - columns)), data.draw(st.integers(0, height - rows))
    size = data.draw(st.integers(1, 64)), data.draw(st.integers(1, 64))
    # A box of few rows goes through another resize at once, so what follows may go far apart.
    steps = steps if rows >= 32 or height < 32 else []
    made = []
    for start in (img.copy(), operations.begin(img.copy())):
        view = operations.crop(start, (*box, columns, rows), size, 'bilinear')
        view = operations.mirror(view) if mirrored else view
        made.append(operations.finish(operations.apply(view, steps)))
    allowed = 0 if steps or height < 32 or rows >= 32 else tolerances.RESIZE['bilinear']
    np.testing.assert_allclose(*(view.astype(int) for view in made), rtol=0, atol=allowed)
