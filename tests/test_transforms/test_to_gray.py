"""ToGray against torchvision's grayscale and mmcv's RandomGrayscale."""

import numpy as np
import pytest
import torch
from mmcv.transforms import RandomGrayscale
from torchvision.transforms.functional import rgb_to_grayscale

from mmjoint.pixels import tolerances
from mmjoint.transforms import ToGray


@pytest.mark.usefixtures('each_way')
def test_pixels_are_torchvisions_and_mmcvs(images):
    stock = RandomGrayscale(1.0, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989))
    for img in images:
        got = ToGray(1.0)(dict(img=img))['img'].astype(int)
        rgb = torch.from_numpy(img[..., ::-1].copy()).permute(2, 0, 1)
        want = rgb_to_grayscale(rgb, 3).permute(1, 2, 0).numpy()
        assert np.abs(got - want).max() <= tolerances.GRAY
        assert np.abs(got - stock(dict(img=img))['img']).max() <= tolerances.GRAY


def test_probability():
    img = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    np.random.seed(0)
    gray = [ToGray(0.2)(dict(img=img))['img'] is not img for _ in range(5000)]
    assert np.mean(gray) == pytest.approx(0.2, abs=0.023)  # 4 standard errors


@pytest.mark.usefixtures('each_way')
def test_gray_image_stays():
    img = np.zeros((4, 4), np.uint8)
    assert ToGray(1.0)(dict(img=img))['img'] is img


def test_bad_probability():
    with pytest.raises(ValueError, match='prob'):
        ToGray(-0.1)
