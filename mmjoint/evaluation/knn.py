"""Weighted k-nearest-neighbor accuracy of a frozen backbone."""

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..checkpoints import load_backbone
from ..datasets.stock import use_own_readers
from ..engine import use_safe_loader
from ..utils.device import choose_device, loader_workers
from ..utils.progress import Progress

LOADERS = ('knn_train_dataloader', 'knn_val_dataloader')


@torch.no_grad()
def extract_features(
    backbone: nn.Module,
    dataloader: DataLoader,
    preprocessor: nn.Module,
    device: str | torch.device = 'cpu',
    name: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute the features of a labeled data set with the backbone in evaluation mode.

    A feature is the backbone's last output, averaged over space if it is a map. Backbone and
    preprocessor are moved to the device; the backbone's training mode is restored.

    Args:
        backbone (nn.Module): An mmpretrain backbone.
        dataloader (DataLoader): A loader of batches of ``PackInputs``, with one view per image.
        preprocessor (nn.Module): The model's data preprocessor.
        device (str | torch.device): Where to compute. Defaults to ``'cpu'``.
        name (str, optional): Label of the progress shown on stderr. Defaults to None, which shows
            no progress.

    Returns:
        tuple[Tensor, Tensor]: Features, float32 of shape (N, C), and labels, int64 of shape (N,),
        on the CPU in the loader's order.

    Raises:
        ValueError: If there are no images, several views per image, no labels, or the backbone's
            output is neither a map nor a vector.
    """
    was_training = backbone.training
    backbone.to(device).eval()
    preprocessor.to(device)
    features, labels = [], []
    progress = Progress(name or '', len(dataloader), silent=name is None)
    for done, batch in enumerate(dataloader, start=1):
        inputs = batch['inputs']
        if not isinstance(inputs, Tensor) and all(isinstance(x, Tensor) for x in inputs):
            if inputs[0].ndim == 3:
                batch['inputs'] = torch.stack(inputs)  # pseudo_collate leaves this to the model
        if not isinstance(batch['inputs'], Tensor):
            raise ValueError(
                'the kNN data loader gives several views per image; kNN needs one, by a pipeline '
                'without JointView or MultiView'
            )
        samples = batch['data_samples']
        if any('gt_label' not in sample for sample in samples):
            raise ValueError('the kNN data loader gives images without labels (gt_label)')
        labels += [int(sample.gt_label) for sample in samples]
        output = backbone(preprocessor(batch, False)['inputs'])
        output = output[-1] if isinstance(output, (tuple, list)) else output
        if output.ndim not in (2, 4):
            raise ValueError(
                f"{type(backbone).__name__}'s last output has shape {tuple(output.shape)}; kNN "
                'needs a map (N, C, H, W) or vectors (N, C)'
            )
        features.append((output.mean((2, 3)) if output.ndim == 4 else output).float().cpu())
        progress.show(done)
    backbone.train(was_training)
    if not features:
        raise ValueError('the kNN data loader gives no images')
    return torch.cat(features), torch.tensor(labels)


def knn_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    k: int = 20,
    temperature: float = 0.07,
    chunk: int = 4096,
    num_classes: int | None = None,
) -> dict[str, float]:
    """Classify test images by the votes of their nearest training images, as DINO does.

    Each of the ``k`` training images with the highest cosine similarity s votes for its class with
    weight exp(s / temperature). The search is exact, in blocks of ``chunk`` x ``chunk``
    similarities. If equally similar training images compete for the last votes, the choice is
    arbitrary; of classes with equal votes the lower number comes first. A class without a vote is
    never counted as predicted.

    Source: DINO (arXiv 2104.14294), section 4.2, which takes it from arXiv 1805.01978.

    Args:
        train_features (Tensor): Float, of shape (N, C).
        train_labels (Tensor): Integers from 0, of shape (N,).
        test_features (Tensor): Float, of shape (M, C), on the same device.
        test_labels (Tensor): Integers from 0, of shape (M,).
        k (int): Number of neighbors that vote. Defaults to 20.
        temperature (float): Similarity over which a vote's weight falls by e. Defaults to 0.07.
        chunk (int): Side of the blocks; it bounds the memory and only affects ties. Defaults to
            4096.
        num_classes (int, optional): Number of classes. Defaults to None, the highest label plus
            one.

    Returns:
        dict[str, float]: ``top1`` and, with more than five classes, ``top5``, in percent.

    Raises:
        ValueError: If shapes do not match, features are not finite, there are no images, k is not
            in 1..N, temperature or chunk is not positive, or a label is not below ``num_classes``.
    """
    for name, features, labels in (
        ('train', train_features, train_labels),
        ('test', test_features, test_labels),
    ):
        if features.ndim != 2 or labels.shape != features.shape[:1] or not len(labels):
            raise ValueError(
                f'{name}_features {tuple(features.shape)} and {name}_labels '
                f'{tuple(labels.shape)} must have shapes (N, C) and (N,), N > 0'
            )
        if not features.isfinite().all():
            raise ValueError(f'{name}_features holds values that are not finite (NaN or infinity)')
        if labels.is_floating_point() or labels.min() < 0:
            raise ValueError(f'{name}_labels must be integers from 0')
    if train_features.shape[1] != test_features.shape[1]:
        raise ValueError(
            f'train_features have {train_features.shape[1]} channels and test_features '
            f'{test_features.shape[1]}; they must be equal'
        )
    if not 1 <= k <= len(train_labels):
        raise ValueError(f'k is {k}; it must be from 1 to the {len(train_labels)} training images')
    if not temperature > 0:
        raise ValueError(f'temperature is {temperature}; it must be positive')
    if chunk < 1:
        raise ValueError(f'chunk is {chunk}; it must be positive')

    highest = int(max(train_labels.max(), test_labels.max()))
    num_classes = num_classes or highest + 1
    if highest >= num_classes:
        raise ValueError(f'num_classes is {num_classes}, but there is a label {highest}')
    train_features = F.normalize(train_features.float(), dim=1)
    test_features = F.normalize(test_features.float(), dim=1)
    hits = dict.fromkeys((1, 5) if num_classes > 5 else (1,), 0)
    for queries, labels in zip(test_features.split(chunk), test_labels.split(chunk), strict=True):
        similarities, neighbors = _nearest(queries, train_features, k, chunk)
        # The weight of the nearest one is set to 1, so that a low temperature does not overflow.
        weights = ((similarities - similarities[:, :1]) / temperature).exp()
        votes = weights.new_zeros(len(queries), num_classes)
        votes.scatter_add_(1, train_labels[neighbors], weights)
        own = votes.gather(1, labels[:, None])
        lower = torch.arange(num_classes, device=labels.device) < labels[:, None]
        rank = ((votes > own) | ((votes == own) & lower)).sum(1)
        for top in hits:
            hits[top] += int(((rank < top) & (own[:, 0] > 0)).sum())
    return {f'top{top}': 100 * count / len(test_labels) for top, count in hits.items()}


def _nearest(queries: Tensor, bank: Tensor, k: int, chunk: int) -> tuple[Tensor, Tensor]:
    """Return similarities and indices of each query's k nearest, both (M, k), nearest first."""
    similarities = queries.new_empty(len(queries), 0)
    indices = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    for start in range(0, len(bank), chunk):
        block = queries @ bank[start : start + chunk].T
        places = torch.arange(start, start + block.shape[1], device=block.device)
        similarities = torch.cat([similarities, block], dim=1)
        indices = torch.cat([indices, places.expand(len(queries), -1)], dim=1)
        similarities, order = similarities.topk(min(k, similarities.shape[1]), dim=1)
        indices = indices.gather(1, order)
    return similarities.double(), indices


def labelled_features(
    cfg: Config,
    checkpoint: str | Path | None,
    device: str | None = None,
    which: str = 'online',
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Compute the features of a config's backbone on its labeled data sets.

    Args:
        cfg (Config): A config with ``model.backbone``, ``knn_train_dataloader`` and
            ``knn_val_dataloader``; images are normalized by its data preprocessor.
        checkpoint (str | Path | None): The checkpoint from which the backbone's weights are loaded,
            strictly; None for the random initialization, drawn with ``randomness.seed`` (0 if the
            config has none).
        device (str, optional): Where to compute, as documented in ``choose_device``. Defaults to
            the GPU if there is one.
        which (str): ``'online'``, the network trained by gradients, or ``'momentum'``, its moving
            average. Defaults to ``'online'``.

    Returns:
        tuple: Features (N, C) and labels (N,) of the training set, and those of the test set.

    Raises:
        ValueError: If the config lacks what is named above, the two data sets have different
            classes, or the checkpoint does not fit (``CheckpointError``).
    """
    lacking = [name for name in (*LOADERS, 'model') if name not in cfg]
    if lacking or 'backbone' not in cfg.model:
        raise ValueError(
            f'{cfg.filename}: has no {", ".join(lacking) or "model.backbone"}; kNN needs '
            f'model.backbone and the labeled data sets {" and ".join(LOADERS)}'
        )
    use_safe_loader()
    chosen_device = choose_device(device)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    model_cfg = copy.deepcopy(cfg.model)
    model_cfg.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    if 'checkpoint' in (model_cfg.backbone.get('init_cfg') or {}):
        # The config of a linear probe names backbone weights; the checkpoint asked for here counts.
        model_cfg.backbone.pop('init_cfg')
    if checkpoint is None:
        set_random_seed((cfg.get('randomness') or {}).get('seed') or 0)
        model = MODELS.build(model_cfg)
        model.backbone.init_weights()
    else:
        model = MODELS.build(model_cfg)
        load_backbone(model.backbone, checkpoint, which=which)

    configs = [_with_workers(cfg[name]) for name in LOADERS]
    use_own_readers(configs)
    loaders = [Runner.build_dataloader(config) for config in configs]
    classes = [loader.dataset.metainfo.get('classes') for loader in loaders]
    if classes[0] != classes[1]:
        raise ValueError(
            f'{" and ".join(LOADERS)} have different classes ({classes[0]} and {classes[1]}), so '
            'their labels mean different things'
        )
    train, test = (
        extract_features(model.backbone, loader, model.data_preprocessor, chosen_device, name)
        for loader, name in zip(loaders, ('training images', 'test images'), strict=True)
    )
    return train, test


def _with_workers(cfg: ConfigDict) -> ConfigDict:
    """Make a loader use as many workers as the machine supports; none if the config says 0."""
    cfg = copy.deepcopy(cfg)
    if cfg.get('num_workers') != 0:
        cfg.num_workers = loader_workers()
    return cfg


def evaluate_knn(
    cfg: Config,
    checkpoint: str | Path | None,
    k: int = 20,
    temperature: float = 0.07,
    device: str | None = None,
    which: str = 'online',
) -> dict[str, float]:
    """Measure the kNN accuracy of a config's backbone.

    Args:
        cfg, checkpoint, device, which: As documented in :func:`labelled_features`.
        k (int): Number of neighbors. Defaults to 20.
        temperature (float): Temperature of the votes. Defaults to 0.07.

    Returns:
        dict[str, float]: ``top1`` and ``top5`` as documented in :func:`knn_accuracy`, and the
        numbers of images, ``num_train`` and ``num_test``.

    Raises:
        ValueError: As documented in the two functions.
    """
    train, test = labelled_features(cfg, checkpoint, device, which)
    accuracy = knn_accuracy(*train, *test, k=k, temperature=temperature)
    return accuracy | {'num_train': len(train[1]), 'num_test': len(test[1])}
