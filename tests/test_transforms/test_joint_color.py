"""JointColor against torchvision's four operations with the same parameters, and JC(beta)."""

import itertools
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torchvision.transforms import ColorJitter
from torchvision.transforms import functional as F

from mmjoint.pixels import tolerances
from mmjoint.transforms import ColorParams, JointColor

OPS = ('brightness', 'contrast', 'saturation', 'hue')
VALUES = dict(brightness=(0.2, 0.7, 1.8), contrast=(0.2, 0.7, 1.8), saturation=(0.0, 0.6, 2.0))


def torchvision_tensor(img: np.ndarray, name: str, value: float) -> np.ndarray:
    rgb = torch.from_numpy(img[..., ::-1].copy()).permute(2, 0, 1)
    return getattr(F, f'adjust_{name}')(rgb, value).permute(1, 2, 0).numpy()[..., ::-1]


def apply(img: np.ndarray, params: ColorParams) -> np.ndarray:
    return JointColor().apply(dict(img=img), params)['img']


@pytest.mark.usefixtures('each_way')
@pytest.mark.parametrize('name,value', [(n, v) for n in VALUES for v in VALUES[n]])
def test_each_operation_is_torchvisions(images, name, value):
    for img in images:
        got = apply(img, ColorParams((name,), **{name: value})).astype(int)
        error = np.abs(got - torchvision_tensor(img, name, value))
        assert error.max() <= tolerances.TORCHVISION[name] and error.mean() < 1


@pytest.mark.usefixtures('each_way')
def test_hue_is_as_close_to_exact_arithmetic_as_pillows(images):
    """Two steps of hue (12 levels) at most; on average no further than Pillow's 8-bit HSV."""
    shifts = (-0.2, -0.05, 0.1, 0.2)
    ours, pillows = [], []
    for img, shift in itertools.product(images, shifts):
        exact = torchvision_tensor(img, 'hue', shift).astype(int)
        got = apply(img, ColorParams(('hue',), hue=shift))
        pillow = np.asarray(F.adjust_hue(Image.fromarray(img[..., ::-1]), shift))[..., ::-1]
        ours.append(np.abs(got - exact))
        pillows.append(np.abs(pillow - exact))
    assert max(error.max() for error in ours) <= tolerances.HUE
    assert np.mean([e.mean() for e in ours]) <= np.mean([e.mean() for e in pillows])


@pytest.mark.usefixtures('each_way')
@pytest.mark.parametrize('order', list(itertools.permutations(OPS)))
def test_any_order_is_torchvisions_on_pillow(images, order):
    """Within 2 levels on average of what the papers' pipelines do, after all four operations."""
    factors = dict(brightness=1.3, contrast=0.7, saturation=1.4, hue=0.08)
    for img in images[:3]:
        got = apply(img, ColorParams(order, **factors)).astype(int)
        want = Image.fromarray(img[..., ::-1])
        for name in order:
            want = getattr(F, f'adjust_{name}')(want, factors[name])
        error = np.abs(got - np.asarray(want)[..., ::-1])
        assert error.mean() < 2 and np.percentile(error, 99) <= tolerances.HUE


@pytest.mark.usefixtures('each_way')
def test_gray_image(images):
    """Brightness and contrast as torchvision's; hue and saturation have nothing to change."""
    gray = images[0][..., 1]
    tensor = torch.from_numpy(gray)[None]
    for name, value in (('brightness', 1.4), ('contrast', 0.5)):
        got = apply(gray, ColorParams((name,), **{name: value}))
        want = getattr(F, f'adjust_{name}')(tensor, value)[0].numpy()
        assert got.shape == gray.shape and np.abs(got.astype(int) - want).max() <= 1
    same = apply(gray, ColorParams(('saturation', 'hue'), saturation=0.3, hue=0.2))
    np.testing.assert_array_equal(same, gray)


def test_independent_factors_are_color_jitters():
    """beta=None: torchvision's ColorJitter, factor by factor, under RandomApply(0.8)."""
    color = JointColor(0.8, 0.8, 0.8, 0.2, prob=0.8)
    np.random.seed(0)
    views = [params for _ in range(5000) for params in color.sample({})]
    jitter = ColorJitter(0.8, 0.8, 0.8, 0.2)
    torch.manual_seed(0)
    theirs = np.array(
        [
            jitter.get_params(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)[1:]
            for _ in range(5000)
        ]
    )
    for i, name in enumerate(OPS):
        ours = [getattr(params, name) for params in views]
        assert stats.ks_2samp(ours, theirs[:, i]).pvalue > 1e-3, name
    applied = [params.order for params in views if params.order]
    assert len(applied) / len(views) == pytest.approx(0.8, abs=0.02)
    counts = [applied.count(order) for order in itertools.permutations(OPS)]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_only_named_operations_are_joint():
    color = JointColor(0.4, 0.4, 0.2, 0.1, beta=dict(brightness=0, hue=0))
    np.random.seed(0)
    pairs = [color.sample({}) for _ in range(20_000)]
    limit = math.log(1.4 / 0.6)
    ratio = np.log([b.brightness / a.brightness for a, b in pairs])
    assert stats.kstest(ratio, stats.uniform(-limit, 2 * limit).cdf).pvalue > 1e-3
    difference = np.array([b.hue - a.hue for a, b in pairs])
    assert stats.kstest(difference, stats.uniform(-0.2, 0.4).cdf).pvalue > 1e-3
    contrast = np.array([[p.contrast for p in pair] for pair in pairs])
    assert abs(stats.spearmanr(*contrast.T).statistic) < 0.03
    assert stats.kstest(contrast.ravel(), stats.uniform(0.6, 0.8).cdf).pvalue > 1e-3


def test_unused_operation_is_never_applied():
    color = JointColor(brightness=0.4)
    np.random.seed(0)
    assert {color.sample({})[0].order for _ in range(20)} == {('brightness',)}


@pytest.mark.parametrize(
    'kwargs,word',
    [
        (dict(brightness=-0.1), 'brightness'),
        (dict(contrast='0.4'), 'contrast'),
        (dict(saturation=float('nan')), 'saturation'),
        (dict(hue=0.6), 'hue'),
        (dict(prob=2), 'prob'),
        (dict(brightness=1.0, beta=0), 'brightness=1.0 cannot be joint'),
        (dict(saturation=1.2, beta=dict(saturation=1)), 'saturation=1.2 cannot be joint'),
        (dict(brightness=0.4, beta=dict(contrast=0)), "'contrast'"),
        (dict(brightness=0.4, beta=dict(brightnes=0)), "'brightnes'"),
        (dict(brightness=0.4, beta=float('nan')), 'beta'),
    ],
)
def test_bad_values(kwargs, word):
    with pytest.raises(ValueError, match=word):
        JointColor(**kwargs)


def test_a_range_from_zero_may_be_independent():
    JointColor(brightness=1.0, saturation=1.0, beta=None).sample({})


@pytest.mark.usefixtures('each_way')
def test_float_image_is_refused():
    with pytest.raises(TypeError, match='uint8'):
        apply(np.zeros((4, 4, 3), np.float32), ColorParams(('brightness',), brightness=2.0))
