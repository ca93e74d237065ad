"""A picture of features: t-SNE by scikit-learn."""

import io
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from mmengine.config import Config
from torch import Tensor

from ..engine import find_last_checkpoint
from ..engine.dumped import refuse_code
from ..evaluation import labelled_features, use_folder
from .runs import Run

MISSING = "scikit-learn is not installed: pip install 'mmjoint[embedding]'"


def add_embedding(
    run: Run, folder: str | Path | None = None, num: int = 1000, seed: int = 0
) -> None:
    """Add a picture of a run's test images: the t-SNE of the features of its backbone.

    Args:
        run (Run): The run, whose ``embedding`` is set. If something is missing (scikit-learn, a
            checkpoint, labeled images), its ``notes`` say so instead.
        folder (str | Path, optional): Labeled images, as documented in ``use_folder``. Defaults to
            None, the config's kNN data loaders.
        num (int): Number of test images, evenly spaced in the set. Defaults to 1000.
        seed (int): Seed of t-SNE. Defaults to 0.
    """
    if run.cfg is None or run.work_dir is None:
        return
    try:
        checkpoint = find_last_checkpoint(str(run.work_dir))
    except (OSError, ValueError) as error:
        run.notes.append(f'no t-SNE: {error}')
        return
    if find_spec('sklearn') is None:
        run.notes.append(f'no t-SNE: {MISSING}')
    elif checkpoint is None:
        run.notes.append(f'no t-SNE: no checkpoint in {run.work_dir}')
    else:
        try:
            cfg = run.cfg.copy()
            refuse_code(cfg)
            if folder is not None:
                use_folder(cfg, folder)
            features, labels = _test_features(cfg, checkpoint, num)
        except (OSError, ValueError) as error:
            run.notes.append(f'no t-SNE: {" ".join(str(error).split())}')
            return
        run.embedding = draw_points(tsne(features, seed), labels.numpy())


def _test_features(cfg: Config, checkpoint: str, num: int) -> tuple[Tensor, Tensor]:
    for name in ('knn_train_dataloader', 'knn_val_dataloader'):
        if name not in cfg:
            raise ValueError(f'the config has no {name}: name a folder of labeled images')
    # Both loaders get the test images, so that the training images need not be read.
    cfg.knn_train_dataloader = cfg.knn_val_dataloader.copy()
    (features, labels), _ = labelled_features(cfg, checkpoint)
    keep = np.arange(min(num, len(labels))) * len(labels) // min(num, len(labels))
    return features[keep], labels[keep]


def tsne(features: Tensor, seed: int = 0) -> np.ndarray:
    """Place features in the plane.

    Args:
        features (Tensor): Features of shape (N, C), N at least 4; they are compared by cosine.
        seed (int): Seed of t-SNE. Defaults to 0.

    Returns:
        np.ndarray: Positions of shape (N, 2), float32.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: There are fewer than four features.
    """
    if find_spec('sklearn') is None:
        raise ImportError(MISSING)
    from sklearn.manifold import TSNE

    if len(features) < 4:
        raise ValueError(f't-SNE needs at least 4 images, got {len(features)}')
    perplexity = min(30.0, (len(features) - 1) / 3)
    return TSNE(
        perplexity=perplexity, metric='cosine', init='random', random_state=seed
    ).fit_transform(features.numpy())


def draw_points(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Draw points with one color per class.

    Args:
        points (np.ndarray): Positions, (N, 2).
        labels (np.ndarray): Integers, (N,).

    Returns:
        np.ndarray: A square picture, BGRA uint8, transparent between the points.
    """
    figure = Figure(figsize=(4.2, 4.2), dpi=130, layout='constrained')
    axes = figure.add_subplot()
    classes = np.unique(labels)
    palette = colormaps['tab20' if len(classes) <= 20 else 'gist_ncar']
    for number, label in enumerate(classes):
        own = points[labels == label]
        color = palette(number if len(classes) <= 20 else number / len(classes))
        axes.scatter(own[:, 0], own[:, 1], s=9, color=[color], linewidths=0)
    axes.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', transparent=True)
    picture = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None  # it has just been written
    return picture
