"""Labeled data sets for kNN and linear evaluation, from a folder."""

from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from ..datasets.listing import class_folders
from ..utils.device import loader_workers
from .knn import LOADERS

_CROPS = ('JointCrop', 'RandomResizedCrop', 'ResNetRandomResizedCrop', 'EfficientNetRandomCrop')


def labeled_splits(folder: str | Path) -> list[dict[str, Any]]:
    """Describe the training and the test images of a folder as configs of data sets.

    Args:
        folder (str | Path): Tiny-ImageNet as published, or a folder that holds ``train`` and
            ``val`` (or ``test``), each with one subfolder per class.

    Returns:
        list[dict]: The config of the training set and that of the test set, without a pipeline.
            Both have the class numbers of the training images, even if a class is missing in one.

    Raises:
        ValueError: The folder has neither layout.
    """
    folder = Path(folder)
    if (folder / 'val/val_annotations.txt').is_file() and (folder / 'val/images').is_dir():
        return [
            dict(type='TinyImageNet', data_root=str(folder), split=split)
            for split in ('train', 'val')
        ]
    splits = ['train', 'val' if (folder / 'val').is_dir() else 'test']
    if not all((folder / split).is_dir() for split in splits):
        raise ValueError(
            f'{folder}: expected a folder with train/CLASS/IMAGE and val/CLASS/IMAGE (or '
            "test/), or Tiny-ImageNet's own layout"
        )
    classes = class_folders(folder / splits[0])
    return [
        dict(
            type='ImageFolder',
            data_root=str(folder),
            data_prefix=split,
            with_label=True,
            metainfo=dict(classes=classes),
        )
        for split in splits
    ]


def use_folder(cfg: Config, folder: str | Path) -> None:
    """Make a config evaluate on a folder of labeled images.

    Images are prepared as in the config's own ``knn_val_dataloader``.
    Without one, for views of S pixels up to 96, they are resized to S x S; for larger S their short
    side is resized to 8/7 S and the central S x S pixels are cut out.

    Args:
        cfg (Config): A pretraining config; its ``knn_train_dataloader`` and ``knn_val_dataloader``
            are set.
        folder (str | Path): The folder, as documented in ``labeled_splits``.

    Raises:
        ValueError: The folder has neither layout, or the config has no crop from which to read the
            size.
    """
    datasets = labeled_splits(folder)
    own = cfg.get('knn_val_dataloader') or {}
    pipeline = (own.get('dataset') or {}).get('pipeline') or _pipeline(cfg)
    for name, dataset in zip(LOADERS, datasets, strict=True):
        cfg[name] = ConfigDict(
            batch_size=own.get('batch_size', 256),
            num_workers=own.get('num_workers', loader_workers()),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
            dataset=dict(dataset, pipeline=pipeline),
        )


def _pipeline(cfg: Config) -> list[dict]:
    scale = _crop_scale(cfg.get('train_dataloader'))
    if scale is None:
        raise ValueError(
            f'{cfg.filename}: has neither a knn_val_dataloader nor a random crop in its training '
            'pipeline, so the size of the images is not known'
        )
    size = scale if isinstance(scale, int) else max(scale)
    load = dict(type='LoadImage', on_error='raise')
    if size <= 96:
        steps = [dict[str, Any](type='Resize', scale=(size, size), backend='pillow')]
    else:
        scale = round(size * 8 / 7)
        edge = dict(type='ResizeEdge', scale=scale, edge='short', backend='pillow')
        steps = [edge, dict[str, Any](type='CenterCrop', crop_size=size)]
    return [load, *steps, dict(type='PackInputs')]


def _crop_scale(value: Any) -> int | tuple[int, int] | None:
    """Return the scale of the first random crop inside a part of a config."""
    if isinstance(value, dict):
        if str(value.get('type')).rpartition('.')[2] in _CROPS and 'scale' in value:
            return value['scale']
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        found = (_crop_scale(item) for item in value)
        return next((scale for scale in found if scale is not None), None)
    return None
