"""Images for the transform tests: made ones always, real photos where they are at hand."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmjoint.pixels import compiled


def made_image(height: int = 150, width: int = 200, seed: int = 0) -> np.ndarray:
    """A BGR image with smooth color, edges and fine texture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    smooth = np.stack([x, y, 1 - x], axis=-1) * 200
    smooth[height // 4 : height // 2, width // 4 : width // 2] = (20, 240, 130)
    return np.clip(smooth + rng.normal(0, 20, smooth.shape), 0, 255).astype(np.uint8)


@cache
def some_photos(folder: Path) -> list[np.ndarray]:
    """A few of the folder's photos, two gray ones among them."""
    photos = [cv2.imread(str(path)) for path in sorted(folder.glob('*.JPEG'))]
    gray = [img for img in photos if (img[..., 0] == img[..., 1]).all()][:2]
    assert gray, 'no gray photo among the shared ones'
    return photos[::40] + gray


@pytest.fixture(params=['compiled', 'plain'])
def each_way(request, monkeypatch) -> None:
    """Run a test with numba's loops, and with OpenCV and torch alone."""
    if request.param == 'compiled':
        pytest.importorskip('numba')
    monkeypatch.setattr(compiled, 'ENABLED', request.param == 'compiled')


@pytest.fixture(params=['made', 'photos'])
def images(request) -> list[np.ndarray]:
    """BGR images of several sizes, among the photos some that are gray."""
    if request.param == 'made':
        return [made_image(), made_image(301, 97, seed=1)]
    folder = request.getfixturevalue('shared_data') / 'imagenet_jpegs'
    return [img.copy() for img in some_photos(folder)]
