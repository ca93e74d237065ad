"""Solarization against Pillow's and mmpretrain's."""

import numpy as np
import pytest
from mmpretrain.datasets.transforms import Solarize
from PIL import Image, ImageOps

from mmjoint.transforms import JointView, Solarization


@pytest.mark.usefixtures('each_way')
@pytest.mark.parametrize('thr', [0, 1, 128, 255, 256])
def test_pixels_are_pillows_and_mmpretrains(images, thr):
    for img in images:
        before = img.copy()
        got = Solarization(thr, 1.0)(dict(img=img))['img']
        np.testing.assert_array_equal(got, np.asarray(ImageOps.solarize(Image.fromarray(img), thr)))
        np.testing.assert_array_equal(got, Solarize(thr, prob=1.0)(dict(img=img))['img'])
        np.testing.assert_array_equal(img, before)
        gray = img[..., 0]
        want = np.asarray(ImageOps.solarize(Image.fromarray(gray), thr))
        np.testing.assert_array_equal(Solarization(thr, 1.0)(dict(img=gray))['img'], want)


@pytest.mark.usefixtures('each_way')
def test_in_a_pipeline_it_is_what_it_is_alone(images):
    crop = dict(type='JointCrop', scale=64)
    pair = dict(type='PerView', transforms=[[], [dict(type='Solarization', thr=90, prob=1.0)]])
    views = []
    for transforms in ([crop], [crop, pair]):
        np.random.seed(0)
        views.append(JointView([transforms], num_views=2)(dict(img=images[0]))['img'])
    np.testing.assert_array_equal(views[1][0], views[0][0])
    want = Solarization(90, 1.0)(dict(img=views[0][1]))['img']
    np.testing.assert_array_equal(views[1][1], want)


def test_probability():
    img = np.full((8, 8, 3), 200, np.uint8)
    np.random.seed(0)
    solarized = [Solarization(prob=0.2)(dict(img=img))['img'] is not img for _ in range(5000)]
    assert np.mean(solarized) == pytest.approx(0.2, abs=0.023)  # 4 standard errors


@pytest.mark.parametrize('kwargs', [dict(thr=-1), dict(thr=257), dict(thr=0.5), dict(prob=1.5)])
def test_bad_values(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        Solarization(**kwargs)
