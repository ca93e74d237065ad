"""JointRotation against torchvision's rotation and JC(beta)."""

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as torchvision

from mmjoint.distributions import JointDistribution
from mmjoint.transforms import JointRotation, JointView, RotationParams


@pytest.mark.parametrize('angle', [-171.3, -20.0, 7.5, 90.0])
def test_pixels_are_torchvisions(images, angle):
    img = images[0]
    made = JointRotation(180, fill=50).apply(dict(img=img), RotationParams(angle, True))['img']
    chw = torch.from_numpy(img.astype(np.float32)).permute(2, 0, 1)
    mode = InterpolationMode.BILINEAR
    want = torchvision.rotate(chw, angle, mode, fill=50).permute(1, 2, 0).numpy()
    # The rim is blended with the fill in different ways; OpenCV places points at 1/32 pixels.
    inside = torchvision.rotate(torch.ones_like(chw), angle, mode)[0].numpy() > 0.999
    error = np.abs(made - want)
    assert made.dtype == np.uint8 and inside.mean() > 0.5
    assert np.percentile(error[inside], 99) <= 4 and error[inside].mean() < 0.6
    outside = torchvision.rotate(torch.ones_like(chw), angle, mode)[0].numpy() < 0.001
    assert np.percentile(np.abs(made[outside].astype(int) - 50), 99.5) == 0 if outside.any() else 1


@pytest.mark.parametrize('beta', [None, 2, 0, -2])
def test_angles_follow_jc_and_the_baseline_is_torchvisions(beta):
    rotation = JointRotation(30, prob=(1.0, 0.25), beta=beta)
    np.random.seed(0)
    pairs = [rotation.sample({}) for _ in range(10_000)]
    t = np.array([second.angle - first.angle for first, second in pairs])
    law = JointDistribution(-30, 30, beta, space='difference')
    assert stats.kstest(t, law.cdf).pvalue > 1e-3
    assert np.mean([second.applied for _, second in pairs]) == pytest.approx(0.25, abs=0.018)
    if beta is None:  # torchvision's RandomRotation draws U(-30, 30)
        for view in (0, 1):
            angles = [pair[view].angle for pair in pairs]
            assert stats.kstest(angles, stats.uniform(-30, 60).cdf).pvalue > 1e-3


def test_replayed_in_a_view(images):
    views = JointView([[dict(type='JointCrop', scale=48), dict(type='JointRotation')]], 2)
    results = views(dict(img=images[0]))
    for img, records in zip(results['img'], results['view_params'], strict=True):
        again = dict(img=images[0])
        for transform, (_, params) in zip(views.pipelines[0], records, strict=True):
            again = transform.apply(again, params)
        assert np.array_equal(img, again['img'])
    gray = images[0][:, :, :1].copy()
    assert JointRotation().apply(dict(img=gray), RotationParams(9.0, True))['img'].ndim == 3


@pytest.mark.parametrize(
    'kwargs,word',
    [
        (dict(limit=0), r'limit must be an angle in \(0, 180\] degrees, got 0'),
        (dict(limit=181), 'limit'),
        (dict(prob=1.5), 'prob'),
        (dict(fill=256), 'fill'),
        (dict(interpolation='lanczos'), "interpolation must be one of .*'bilinear'"),
    ],
)
def test_bad_values(kwargs, word):
    with pytest.raises(ValueError, match=word):
        JointRotation(**kwargs)
