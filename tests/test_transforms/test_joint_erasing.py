"""JointErasing against mmpretrain's RandomErasing and JC(beta)."""

import math

import numpy as np
import pytest
from mmpretrain.datasets.transforms import RandomErasing
from scipy import stats

from mmjoint.distributions import JointDistribution
from mmjoint.transforms import ErasingParams, JointErasing

BOX = ErasingParams(3, 5, 10, 8, 0.1, (40, 30), 7, True)


@pytest.mark.parametrize('beta', [None, 2, 0, -2])
def test_areas_follow_jc(beta):
    erasing = JointErasing(beta=beta, prob=(1.0, 0.25))
    np.random.seed(0)
    pairs = [erasing.sample(dict(img=np.empty((64, 64, 3)))) for _ in range(10_000)]
    t = np.log([second.area / first.area for first, second in pairs])
    assert stats.kstest(t, JointDistribution(0.02, 0.4, beta).cdf).pvalue > 1e-3
    assert np.mean([second.applied for _, second in pairs]) == pytest.approx(0.25, abs=0.018)


def test_boxes_of_the_baseline_are_mmpretrains():
    height, width = 90, 60
    stock, erasing = RandomErasing(), JointErasing(beta=None)
    np.random.seed(0)
    own = []
    for _ in range(4_000):
        for box in erasing.sample(dict(img=np.empty((height, width)))):
            own.append((box.y / (height - box.height + 1), box.height, box.width))
    want = [stock.random_patch(height, width) for _ in range(8_000)]
    # The stock one leaves out the last position.
    want = [(top / max(height - h, 1), h, w) for top, _, h, w in want]
    for values, others in zip(zip(*own, strict=True), zip(*want, strict=True), strict=True):
        assert stats.ks_2samp(values, others).statistic < 1.95 * math.sqrt(2 / 8_000) + 0.01


def test_fills():
    img = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    before, inside = img.copy(), np.zeros((40, 30), bool)
    inside[5:13, 3:13] = True
    made = {
        fill: JointErasing(fill=fill).apply(dict(img=img), BOX)['img']
        for fill in (128, (1, 2.0, 3), 'mean', 'noise')
    }
    assert (img == before).all()
    for out in made.values():
        assert (out[~inside] == img[~inside]).all() and out.dtype == np.uint8
    assert (made[128][inside] == 128).all() and (made[1, 2.0, 3][inside] == (1, 2, 3)).all()
    assert (np.abs(made['mean'][inside] - img.mean((0, 1))) <= 0.5).all()
    noise = made['noise'][inside].ravel() / 256
    assert stats.kstest(noise, 'uniform').pvalue > 1e-3
    again = JointErasing(fill='noise').apply(dict(img=img), BOX)['img']
    assert (again == made['noise']).all()
    gray = JointErasing(fill='mean').apply(dict(img=img[..., 0]), BOX)['img']
    assert (np.abs(gray[inside] - img[..., 0].mean()) <= 0.5).all()
    with pytest.raises(ValueError, match='has 2 levels, the image 3 channels'):
        JointErasing(fill=(1, 2)).apply(dict(img=img), BOX)
    with pytest.raises(ValueError, match='both views of a pair must have the same size'):
        JointErasing().apply(dict(img=img[1:]), BOX)


@pytest.mark.parametrize(
    'kwargs,word',
    [
        (dict(area_range=(0.0, 0.4)), 'area_range'),
        (dict(area_range=(0.1, 1.2)), 'area_range must not exceed 1'),
        (dict(fill='black'), "fill must be 'mean', 'noise', a level .*'black'"),
        (dict(fill=(0, 300)), 'fill'),
        (dict(fill=()), 'fill'),
    ],
)
def test_bad_values(kwargs, word):
    with pytest.raises(ValueError, match=word):
        JointErasing(**kwargs)
