"""Reduces a pretraining config to a size that a CPU trains in minutes, keeping method and views."""

import copy
from dataclasses import dataclass

from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS

from ..evaluation import labeled_splits

# Wider layers of necks and heads are reduced to this width.
_WIDEST = 512
# Highest learning rate per 256 images of a method with a queue. At the 0.25 of the recipes for
# small images MoCo v2's features collapsed within 20 steps and did not separate in 400; at 0.06
# they did.
_QUEUE_RATE = 0.06
# MiB of decoded training images that a process keeps: 10,000 photos of 96 x 128 pixels are 350.
_KEPT = 1024
# Lowest learning rate per 256 images of DINO's SGD. Its features start close together; at the 0.03
# of the recipe they had hardly separated after 400 steps.
_DINO_RATE = 0.2


@dataclass(frozen=True)
class Reduction:
    """The data, the length and the size of a reduced run.

    Args:
        data_root (str): Folder of labeled images, as documented in ``labeled_splits``.
        epochs (int): Number of epochs; warm-up, steps and everything else that the recipe counts in
            epochs shrink in proportion.
        images (int, optional): Number of training images, evenly spaced in the set. Defaults to
            None, all.
        batch_size (int): Images per step; the learning rate scales in proportion. With a queue the
            rate is at most 0.06 per 256 images, since a higher one collapses in such a short run.
            DINO's SGD gets at least 0.2 and batch norm in its head, since its features hardly
            separate otherwise. Defaults to 128.
        size (int): Side of the largest views in pixels; smaller views shrink in proportion.
            Defaults to 64.
        width (int): Number of channels in the first stage of the ResNet-18 that replaces the
            backbone (64 in the papers). Defaults to 32.
        queue (int): Length of a queue. Defaults to 1024.
        momentum (float): Smallest share of new weights in a momentum encoder: the recipes' own
            would hardly move it in a short run. Defaults to 0.01.

    Raises:
        ValueError: A number is not positive.
    """

    data_root: str
    epochs: int = 10
    images: int | None = None
    batch_size: int = 128
    size: int = 64
    width: int = 32
    queue: int = 1024
    momentum: float = 0.01

    def __post_init__(self) -> None:
        for name in ('epochs', 'images', 'batch_size', 'size', 'width', 'queue', 'momentum'):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f'{name} must be positive, got {value!r}')


def reduce_config(cfg: Config, reduction: Reduction, seed: int) -> Config:
    """Reduce a pretraining config; its method, views, joint quantities and loss stay the same.

    Args:
        cfg (Config): A config of ``configs/``; it is not changed.
        reduction (Reduction): The size.
        seed (int): Seed of the run.

    Returns:
        Config: The reduced config, all of whose data sets come from ``reduction.data_root``.

    Raises:
        ValueError: The config has no backbone, no base batch size or no ``JointView``.
    """
    cfg = Config(copy.deepcopy(cfg.to_dict()))
    if 'backbone' not in cfg.get('model', {}) or 'base_batch_size' not in cfg.get(
        'auto_scale_lr', {}
    ):
        raise ValueError('a config to reduce needs model.backbone and auto_scale_lr')
    _reduce_model(cfg.model, reduction)
    _reduce_data(cfg, reduction)
    share = reduction.epochs / cfg.train_cfg.max_epochs
    _reduce_schedule(cfg, share)
    cfg.train_cfg.max_epochs = reduction.epochs
    optimizer = cfg.optim_wrapper.optimizer
    optimizer.lr *= reduction.batch_size / cfg.auto_scale_lr.base_batch_size
    if 'queue_len' in cfg.model:
        optimizer.lr = min(optimizer.lr, _QUEUE_RATE * reduction.batch_size / 256)
    if cfg.model.type == 'DINO' and optimizer.type == 'SGD':
        optimizer.lr = max(optimizer.lr, _DINO_RATE * reduction.batch_size / 256)
    cfg.auto_scale_lr.base_batch_size = reduction.batch_size
    for hook in cfg.get('custom_hooks', []):
        if hook.type == 'ContrastiveCropHook':
            for key in ('warm_up', 'interval'):
                hook[key] = max(1, round(hook.get(key, 20) * share))
            hook.scale = reduction.size
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=1)
    cfg.default_hooks.logger.interval = 20
    cfg.randomness = dict(seed=seed)
    return cfg


def _reduce_model(model: ConfigDict, reduction: Reduction) -> None:
    old = model.backbone
    model.backbone = ConfigDict(
        type='ResNet',
        depth=18,
        base_channels=reduction.width,
        stem_channels=reduction.width,
        norm_cfg=old.get('norm_cfg', dict(type='BN')),
        zero_init_residual=old.get('zero_init_residual', False),
    )
    for part in (model.get('neck'), model.get('head'), model.get('jigsaw_neck')):
        for layer in _dicts(part):
            for key, value in layer.items():
                if key.endswith('channels') and isinstance(value, int):
                    layer[key] = min(value, _WIDEST)
    for key in ('neck', 'jigsaw_neck'):
        if model.get(key) is not None:
            model[key].in_channels = reduction.width * 8
    if model.get('neck', {}).get('type') == 'DINONeck':
        model.neck.with_bn = True  # without it features separate only after thousands of steps
    if 'queue_len' in model:
        model.queue_len = reduction.queue
    for key in ('momentum', 'base_momentum'):
        if key in model:
            model[key] = max(model[key], reduction.momentum)


def _reduce_data(cfg: Config, reduction: Reduction) -> None:
    train, test = labeled_splits(reduction.data_root)
    pipeline = cfg.train_dataloader.dataset.pipeline
    joint_views = [step for step in pipeline if step.type == 'JointView']
    if not joint_views:
        raise ValueError('a config to reduce needs a JointView in its training pipeline')
    # Views that are cut from decoded images (STL-10) are cut from image files here.
    if not any('Load' in step.type and step.type != 'LoadSemanticBox' for step in pipeline):
        pipeline = [ConfigDict(type='LoadImage'), *pipeline]
    for step in pipeline:
        if step.type == 'LoadImage':
            step.keep_mib = _KEPT
    views = _dicts(joint_views[0].transforms)
    share = reduction.size / max(step.scale for step in views if step.get('type') == 'JointCrop')
    for step in views:
        if step.get('type') == 'JigsawPatches':
            step['size'] = round(step['size'] * share)
        elif 'scale' in step:
            # A multiple of three, for the jigsaw of three by three patches.
            multiple = 3 if step.type == 'RandomResizedCrop' else 1
            side = round(_side(step.scale) * share / multiple) * multiple
            step.scale = side if isinstance(step.scale, int) else (side, side)

    cfg.train_dataloader.dataset = dict(train, pipeline=pipeline)
    if reduction.images is not None:
        cfg.train_dataloader.dataset.indices = _spread(cfg, reduction.images)
    evaluation = [
        dict(type='LoadImage', on_error='raise'),
        dict(type='Resize', scale=(reduction.size, reduction.size), backend='pillow'),
        dict(type='PackInputs'),
    ]
    cfg.train_dataloader.batch_size = reduction.batch_size
    splits = dict(train_dataloader=train, knn_train_dataloader=train, knn_val_dataloader=test)
    for loader, dataset in splits.items():
        if loader not in cfg:  # a folder without labels has no kNN
            continue
        cfg[loader].num_workers = 0
        cfg[loader].pop('persistent_workers', None)
        if loader != 'train_dataloader':
            cfg[loader].dataset = dict(dataset, pipeline=evaluation)


def _spread(cfg: Config, images: int) -> list[int]:
    """Return the indices of the given number of training images, evenly spaced."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        num = len(DATASETS.build(dict(cfg.train_dataloader.dataset, pipeline=[])))
    if images > num:
        raise ValueError(f'{images} training images are asked for, and there are {num}')
    return [i * num // images for i in range(images)]


def _reduce_schedule(cfg: Config, share: float) -> None:
    kept = []
    for scheduler in cfg.param_scheduler:
        if 'milestones' in scheduler:
            scheduler.milestones = [max(1, round(step * share)) for step in scheduler.milestones]
        if 'end' in scheduler:
            begin, end = (round(scheduler.get(key, 0) * share) for key in ('begin', 'end'))
            if end == begin:
                continue  # a warm-up of less than half an epoch
            scheduler.update(begin=begin, end=end)
            if 'T_max' in scheduler:
                scheduler.T_max = end - begin
        kept.append(scheduler)
    cfg.param_scheduler = kept


def _side(scale: int | tuple) -> int:
    return scale if isinstance(scale, int) else scale[0]


def _dicts(config: object) -> list[ConfigDict]:
    """Return every dict in a nested config."""
    if isinstance(config, dict):
        return [config, *(inner for value in config.values() for inner in _dicts(value))]
    if isinstance(config, (list, tuple)):
        return [inner for value in config for inner in _dicts(value)]
    return []
