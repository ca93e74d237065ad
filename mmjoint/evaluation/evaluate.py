"""kNN, linear and few-shot accuracy of a checkpoint from one pass over the images."""

import copy
import hashlib
import json
import os
import re
import statistics
from collections.abc import Sequence
from pathlib import Path

import mmengine
import mmpretrain
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS
from torch import Tensor

from ..checkpoints import CheckpointError, file_sha256, read_checkpoint
from ..checkpoints.backbones import find_places
from ..datasets.stock import use_own_readers
from ..utils.device import choose_device
from ..utils.files import encode, whole_file, write_output
from ..version import __version__
from .knn import LOADERS, knn_accuracy, labelled_features
from .linear import linear_accuracies, linear_accuracy

PROTOCOLS = ('knn', 'linear', 'few-shot')
FRACTIONS = (0.01, 0.1)

Features = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
# Names of the tensors in a features file.
_PARTS = ('train_features', 'train_labels', 'test_features', 'test_labels')


def evaluate_protocols(
    features: Features,
    protocols: Sequence[str] = PROTOCOLS,
    k: int = 20,
    temperature: float = 0.07,
    draws: int = 5,
    seed: int = 0,
) -> dict[str, dict]:
    """Measure frozen features by several protocols.

    Args:
        features (tuple): Features (N, C) and labels (N,) of the training images, and of the test
            images.
        protocols (Sequence[str]): Any of ``'knn'`` (``knn_accuracy``), ``'linear'``
            (``linear_accuracy``) and ``'few-shot'`` (``few_shot_accuracy``). Defaults to all.
        k, temperature: Arguments of ``knn_accuracy``.
        draws, seed: Arguments of ``few_shot_accuracy``.

    Returns:
        dict[str, dict]: Maps each protocol to its accuracies in percent and the values chosen for
        them.

    Raises:
        ValueError: A protocol is unknown, or one of the functions raises it.
    """
    unknown = [protocol for protocol in protocols if protocol not in PROTOCOLS]
    if unknown or not protocols:
        raise ValueError(
            f'unknown protocol {", ".join(unknown) or "(none)"}; there are {", ".join(PROTOCOLS)}'
        )
    device = choose_device()
    (train, train_labels), (test, test_labels) = (
        (images.to(device), labels.to(device)) for images, labels in features
    )
    data = train, train_labels, test, test_labels
    results: dict[str, dict] = {}
    if 'knn' in protocols:
        accuracy = knn_accuracy(*data, k=k, temperature=temperature)
        results['knn'] = accuracy | dict(k=k, temperature=temperature)
    if 'linear' in protocols:
        results['linear'] = linear_accuracy(*data)
    if 'few-shot' in protocols:
        results['few-shot'] = {
            f'{100 * fraction:g}%': few_shot_accuracy(*data, fraction, draws, seed)
            for fraction in FRACTIONS
        }
    return results


def few_shot_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    fraction: float,
    draws: int = 5,
    seed: int = 0,
) -> dict:
    """Measure linear accuracy when only a fraction of the training labels is known.

    Each draw takes the same fraction of every class, at least one image, and trains
    ``linear_accuracy``'s classifier on it.

    Args:
        train_features, train_labels, test_features, test_labels (Tensor): As documented in
            ``linear_accuracy``.
        fraction (float): Fraction of the images of each class, in (0, 1].
        draws (int): Number of subsets. Defaults to 5.
        seed (int): Seed of the draws. Defaults to 0.

    Returns:
        dict: ``top1``, the mean over the draws in percent; ``std``, its standard deviation (None
            for a single draw); ``draws``, the accuracy of each draw; ``weight_decays``, the choice
            of each draw; and ``num_train``, the number of images of a subset.

    Raises:
        ValueError: ``fraction`` or ``draws`` is out of range, or as documented in
            ``linear_accuracy``.
    """
    if draws < 1:
        raise ValueError(f'draws is {draws}; it must be at least 1')
    subsets = torch.stack(
        [balanced_subset(train_labels, fraction, seed + draw) for draw in range(draws)]
    )
    results = linear_accuracies(train_features, train_labels, test_features, test_labels, subsets)
    accuracies = [result['top1'] for result in results]
    return dict(
        top1=statistics.fmean(accuracies),
        std=statistics.stdev(accuracies) if draws > 1 else None,
        draws=accuracies,
        weight_decays=[result['weight_decay'] for result in results],
        num_train=subsets.shape[1],
    )


def balanced_subset(labels: Tensor, fraction: float, seed: int) -> Tensor:
    """Draw the same fraction of every class.

    Args:
        labels (Tensor): Integers, of shape (N,).
        fraction (float): Fraction of each class, in (0, 1].
        seed (int): Seed of the draw.

    Returns:
        Tensor: Indices in ascending order; for each class round(fraction * its number of images),
            at least one.

    Raises:
        ValueError: ``fraction`` is out of range.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f'fraction is {fraction}; it must be in (0, 1]')
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for label in labels.unique().tolist():
        own = (labels == label).nonzero()[:, 0]
        num = max(1, round(fraction * len(own)))
        chosen.append(own[torch.randperm(len(own), generator=generator)[:num].to(own.device)])
    return torch.cat(chosen).sort().values


def cached_features(
    cfg: Config,
    checkpoint: str | Path | None,
    cache: str | Path | None,
    which: str = 'online',
) -> Features:
    """Compute the features of a config's labeled images, or take them from a file.

    The file's name is a hash of all that the features depend on: the checkpoint's SHA-256, the
    backbone, the preprocessor, the data loaders, and name, size and time of every image.

    Args:
        cfg, checkpoint, which: As documented in ``labelled_features``.
        cache (str | Path | None): Folder for the files, made if it does not exist; None for no
            files. Features of a random initialization are never cached.

    Returns:
        tuple: As documented in ``labelled_features``.
    """
    if cache is None or checkpoint is None:
        return labelled_features(cfg, checkpoint, which=which)
    path = Path(cache, f'features_{_fingerprint(cfg, checkpoint, which)[:20]}.pt')
    if Path(cache).exists() and not Path(cache).is_dir():
        raise ValueError(f'--cache {cache}: is a file; expected a folder')
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        return _read_features(path)
    features = labelled_features(cfg, checkpoint, which=which)
    with whole_file(path) as file:
        torch.save(dict(zip(_PARTS, (*features[0], *features[1]), strict=True)), file)
    return features


def _read_features(path: Path) -> Features:
    try:
        saved = read_checkpoint(path)
        features, labels, test_features, test_labels = (saved[name] for name in _PARTS)
        for rows, numbers in ((features, labels), (test_features, test_labels)):
            if rows.dtype != torch.float32 or numbers.dtype != torch.int64:
                raise TypeError(f'of {rows.dtype} and {numbers.dtype}')
            if rows.ndim != 2 or numbers.shape != rows.shape[:1]:
                raise TypeError(f'of shapes {tuple(rows.shape)} and {tuple(numbers.shape)}')
            if not rows.isfinite().all():
                raise TypeError('not finite')
        if features.shape[1:] != test_features.shape[1:]:
            raise TypeError(f'of widths {features.shape[1]} and {test_features.shape[1]}')
    except (CheckpointError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{path}: not a features file of this program ({error}); remove the file'
        ) from error
    return (features, labels), (test_features, test_labels)


def _fingerprint(cfg: Config, checkpoint: str | Path, which: str = 'online') -> str:
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    parts = [__version__, file_sha256(checkpoint), which, str(cfg.model.backbone)]
    parts.append(str(cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor')))
    for name in LOADERS:
        dataset = copy.deepcopy(cfg[name].dataset)
        use_own_readers(dataset)
        parts.append(str(dataset))
        images = DATASETS.build({**dataset, 'pipeline': []})
        for i in range(len(images)):
            path = images.get_data_info(i).get('img_path')
            facts = os.stat(_file_behind(path, dataset.get('data_root'))) if path else None
            parts.append(f'{path} {facts and facts.st_size} {facts and facts.st_mtime_ns}')
    return hashlib.sha256(encode('\n'.join(parts))).hexdigest()


def _file_behind(path: str, data_root: str | None) -> str:
    """Return the file that holds an image: the image file, a shard, or one of STL-10's files."""
    if path.startswith('tar://'):
        return path.partition('@')[2].rpartition('#')[0]
    if os.path.isfile(path):
        return path
    return os.path.join(data_root or '', re.sub(r'\[\d+\]$', '', path))


def provenance(cfg: Config, checkpoint: str | Path | None, which: str = 'online') -> dict:
    """Describe what was measured.

    Args:
        cfg (Config): A config with ``knn_train_dataloader`` and ``knn_val_dataloader``.
        checkpoint (str | Path | None): The checkpoint; None for the random initialization.
        which (str): As documented in ``labelled_features``.

    Returns:
        dict: The config file; the checkpoint with its SHA-256, ``which`` of the ``available``
            networks was measured and where it lies in the file, epoch and iteration (None if the
            file does not contain them); the data sets' folders; and the versions.
    """
    content = {} if checkpoint is None else read_checkpoint(checkpoint)
    meta = content.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    places = {} if checkpoint is None else find_places(content, checkpoint)
    return dict(
        config=cfg.filename,
        checkpoint=None if checkpoint is None else str(checkpoint),
        sha256=None if checkpoint is None else file_sha256(checkpoint),
        which=which if which in places else None,
        weights=str(places[which]) if which in places else None,
        available=list(places),
        epoch=meta.get('epoch'),
        iter=meta.get('iter'),
        data=[
            str(Path(cfg[name].dataset.data_root, str(cfg[name].dataset.get('data_prefix') or '')))
            for name in LOADERS
        ],
        versions=dict(
            mmjoint=__version__,
            torch=torch.__version__,
            mmengine=mmengine.__version__,
            mmpretrain=mmpretrain.__version__,
        ),
    )


def write_evaluation(path: str | Path, result: dict) -> None:
    """Write a result as JSON, to a temporary file that is then moved into place."""
    write_output(path, json.dumps(result, indent=2) + '\n')
