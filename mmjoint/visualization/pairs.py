"""Positive pairs as pictures: the source photo with both crop boxes, and the views beside it."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmengine.config import Config

from ..pairs.quantities import box_of
from ..pairs.source import PairSource
from ..pixels.operations import resize

# BGR; readers with color blindness can tell them apart (Okabe and Ito's blue and orange).
VIEW_COLORS = ((178, 114, 0), (0, 159, 230))


def sample_pairs(cfg: Config, indices: list[int], seed: int = 0) -> list[tuple]:
    """Draw one pair for each of some training images, as training would.

    Args:
        cfg (Config): A pretraining config whose training pipeline holds a ``JointView`` or a
            ``MultiView``.
        indices (list[int]): Indices of images in the training set; an image that cannot be read is
            replaced by the next one that can.
        seed (int): Seed of NumPy's generator. Defaults to 0.

    Returns:
        list[tuple]: For each image (source, views, params): source and views are BGR arrays; params
        holds the ``view_params`` of each view.

    Raises:
        ValueError: The pipeline holds neither transform.
        OSError: No photo can be read.
    """
    source = PairSource(cfg)
    dataset, views = source.build_dataset(), source.build_views()
    np.random.seed(seed)
    pairs = []
    for index in indices:
        results = _read(dataset, index)
        photo = results['img']
        results = views(results)
        pairs.append((photo, results['img'], results['view_params']))
    return pairs


def _read(dataset: Sequence[dict], index: int) -> dict:
    for step in range(len(dataset)):
        try:
            return dataset[(index + step) % len(dataset)]
        except OSError as error:
            last_error = error
    raise last_error


def draw_pair(
    source: np.ndarray, views: list[np.ndarray], params: list[list], height: int = 180
) -> np.ndarray:
    """Draw a photo with the crop boxes of its first two views, and those views beside it.

    Args:
        source (np.ndarray): The photo, BGR uint8.
        views (list[np.ndarray]): The views, BGR uint8.
        params (list[list]): The ``view_params`` of each view.
        height (int): Height of the picture in pixels. Defaults to 180.

    Returns:
        np.ndarray: BGR uint8, of the given height.
    """
    scale = height / source.shape[0]
    canvas = resize(source, (max(1, round(source.shape[1] * scale)), height))
    canvas = np.ascontiguousarray(canvas)  # OpenCV draws only on contiguous arrays
    tiles = []
    for view, drawn, color in zip(views[:2], params[:2], VIEW_COLORS, strict=True):
        box = box_of(drawn)
        if box:
            x, y, box_width, box_height = box
            corners = np.array([[x, y], [x + box_width, y + box_height]])
            (x1, y1), (x2, y2) = np.rint(corners * canvas.shape[1::-1]).astype(int)
            cv2.rectangle(canvas, (int(x1), int(y1)), (int(x2) - 1, int(y2) - 1), color, 2)
        width = max(1, round(view.shape[1] * height / view.shape[0]))
        tile = np.ascontiguousarray(resize(view, (width, height)))
        cv2.rectangle(tile, (0, 0), (width - 1, height - 1), color, 3)
        tiles.append(tile)
    gap = np.full((height, 6, 3), 255, np.uint8)
    return np.hstack([canvas, gap, tiles[0], gap, tiles[1]])
