"""Builds the Runner of a config, with guards against lost work."""

import os
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.dist import get_world_size, master_only
from mmengine.hooks import CheckpointHook
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmpretrain.engine import SwAVHook

from ..datasets.stock import use_own_readers
from ..hooks.accumulation import AccumulationHook
from ..hooks.draws import DrawsHook
from ..models.stock_fixes import mend_stock_parts
from ..utils.models import unwrapped
from ..utils.noise import quiet_logger
from .checks import check_class_folders, check_queue, check_training, check_widths
from .config import dataloaders
from .history import append_in_place
from .loading import CheckHook, use_safe_loader
from .log_files import mend_logger, mend_scalars, write_config
from .loops import ResumableEpochLoop
from .machine import end_workers_with_process
from .resume_state import RecordBatchesHook, ResumeHook


def guard_run(cfg: Config) -> None:
    """Make a training config stop at a non-finite loss and save whole and complete checkpoints.

    Args:
        cfg (Config): The config, changed in place; hooks that it lacks are added.
    """
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    checkpoint = hooks.setdefault('checkpoint', ConfigDict(type='CheckpointHook', interval=1))
    if checkpoint is not None and _is(checkpoint, CheckpointHook):
        checkpoint.type = 'AtomicCheckpointHook'
    custom_hooks = cfg.get('custom_hooks') or []
    if not any('NonFiniteLossHook' in str(hook.get('type')) for hook in custom_hooks):
        cfg.custom_hooks = [*custom_hooks, dict(type='NonFiniteLossHook')]


def _is(cfg: object, kind: type) -> bool:
    """Tell whether a config is of a class, which it may name with its scope or its module."""
    named = cfg.get('type') if isinstance(cfg, dict) else None
    if isinstance(named, str):
        return named.rpartition('.')[2] == kind.__name__
    return named is kind


def build_runner(cfg: Config, strict: bool) -> Runner:
    """Build the Runner of a config.

    Args:
        cfg (Config): A config from ``load_config``, fitted to the machine.
        strict (bool): Whether the weights of ``cfg.load_from`` must be exactly those of the model.
            Otherwise the log says what does not fit, and at least one weight must fit.

    Returns:
        Runner: The runner, not started yet.
    """
    check_training(cfg)
    use_safe_loader()
    mend_scalars()
    # Whatever is done with the model: the stock one unpickles `queue.pth` of the work directory.
    for hook in [*(cfg.get('custom_hooks') or ()), *(cfg.get('default_hooks') or {}).values()]:
        if _is(hook, SwAVHook):
            hook['type'] = 'CheckpointedSwAVHook'
    swapped = sum(
        # As in training with our own configs, one bad file of many does not end a run.
        use_own_readers(loader, 'skip' if loader is cfg.get('train_dataloader') else 'raise')
        for loader in dataloaders(cfg)
    )
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else _Runner.from_cfg(cfg)
    mend_stock_parts(runner.model)
    append_in_place()
    if swapped:
        runner.logger.info(
            'LoadImageFromFile of the config is LoadImage here: the same pixels, and damaged files '
            'are noticed (in training: named and left out)'
        )
    if cfg.get('load_from'):
        runner.register_hook(CheckHook(cfg.load_from, strict), priority='VERY_HIGH')
    if cfg.get('resume'):
        runner.register_hook(ResumeHook(cfg.get('load_from') or cfg.work_dir))
    if isinstance(runner, Runner):
        _mend_training(runner)
    build_train_loop = runner.build_train_loop

    def build_train_loop_with_batches(settings: BaseLoop | dict) -> BaseLoop:
        loop = build_train_loop(settings)
        if len(loop.dataloader) == 0:
            raise ValueError(
                f'the training set has {len(loop.dataloader.dataset)} images, fewer than one batch '
                f'(train_dataloader.batch_size {loop.dataloader.batch_size}, drop_last) in each '
                'process: nothing would be trained'
            )
        end_workers_with_process(loop.dataloader)
        check_queue(runner, loop.dataloader)
        check_widths(runner.model, cfg)
        runner.logger.info(_summary(runner, loop))
        runner.logger.info(
            f'the whole config, the environment and the order of hooks: {runner.logger.log_file}'
        )
        return loop

    build_val_loop = runner.build_val_loop

    def build_val_loop_of_same_classes(loop: Any) -> Any:
        loop = build_val_loop(loop)
        if isinstance(runner._train_loop, BaseLoop):
            check_class_folders(runner._train_loop.dataloader.dataset, loop.dataloader.dataset)
        return loop

    runner.build_train_loop = build_train_loop_with_batches
    runner.build_val_loop = build_val_loop_of_same_classes
    return runner


def _mend_training(runner: Runner) -> None:
    """Make a run resume within an epoch, and treat accumulated gradients as one batch."""
    wrapper = runner.optim_wrapper
    counts = (
        wrapper.get('accumulative_counts', 1)
        if isinstance(wrapper, dict)
        else getattr(wrapper, '_accumulative_counts', 1)
    )
    if counts > 1:
        runner.register_hook(AccumulationHook())
    if runner._train_loop is None:
        return
    runner.register_hook(RecordBatchesHook())
    if not any(isinstance(hook, DrawsHook) for hook in runner.hooks):
        runner.register_hook(DrawsHook())
    for hook in runner.hooks:
        if isinstance(hook, DrawsHook):
            hook.always = True
    build_train_loop = runner.build_train_loop

    def build_resumable_loop(loop: BaseLoop | dict) -> BaseLoop:
        if isinstance(loop, dict):
            kind = loop.get('type', 'EpochBasedTrainLoop' if loop.get('by_epoch') else None)
            if kind in ('EpochBasedTrainLoop', 'mmengine.EpochBasedTrainLoop', EpochBasedTrainLoop):
                loop = dict(loop, type=ResumableEpochLoop)
                loop.pop('by_epoch', None)
        return build_train_loop(loop)

    def scale_lr(optim_wrapper: OptimWrapper, auto_scale_lr: dict | None = None) -> None:
        settings = auto_scale_lr or {}
        base = settings.get('base_batch_size')
        loader = runner._train_dataloader
        size = (
            loader.get('batch_size')
            if isinstance(loader, dict)
            else getattr(loader, 'batch_size', None)
        )
        if not base or not size:  # none is given, or a batch sampler has one of its own
            return
        batch = size * runner.world_size * counts
        told = f'{batch} ({size} x {runner.world_size} processes x {counts} accumulated)'
        if not settings.get('enable'):
            if batch != base:
                runner.logger.warning(
                    f'the learning rate of the config is for a batch of {base} images '
                    f'(auto_scale_lr.base_batch_size), and is taken as it is for one of {told}; '
                    f'auto_scale_lr.enable=True (--auto-scale-lr of tools/train.py) multiplies it '
                    f'by {batch / base:.4g}'
                )
            return
        runner.logger.info(
            f'LR is set based on batch size of {base} and the current batch size is {told}. '
            f'Scaling the original LR by {batch / base}.'
        )
        wrappers = (
            optim_wrapper.values()
            if isinstance(optim_wrapper, OptimWrapperDict)
            else [optim_wrapper]
        )
        for group in (group for one in wrappers for group in one.optimizer.param_groups):
            group['lr'] *= batch / base

    runner.build_train_loop = build_resumable_loop
    runner.scale_lr = scale_lr


class _Runner(Runner):
    """mmengine's Runner, with console output that starts with what matters and files that name
    themselves where they cannot be written."""

    def build_logger(self, *args: object, **kwargs: object) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        quiet_logger(logger)
        mend_logger(logger)
        return logger

    @master_only
    def dump_config(self) -> None:
        name = Path(self.cfg.filename or f'{self.timestamp}.py').name
        write_config(self.cfg, os.path.join(self.work_dir, name))


def _summary(runner: Runner, loop: BaseLoop) -> str:
    """Describe in a few lines what a run does."""
    model = unwrapped(runner.model)
    loader = loop.dataloader
    optimizer: Any = (runner.cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    weights = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    batch = f'{loader.batch_size} images'
    if get_world_size() > 1:
        batch += f' in each of {get_world_size()} processes'
    length = f'{loop.max_epochs} epochs of {len(loader)} iterations'
    if isinstance(loop, IterBasedTrainLoop):
        length = f'{loop.max_iters} iterations'
    backbone = getattr(model, 'backbone', None)
    return '\n'.join(
        (
            f'{runner.cfg.filename or runner.experiment_name} on {get_device()}',
            f'  model: {type(model).__name__}'
            + (f' with {type(backbone).__name__}' if backbone is not None else '')
            + f', {weights / 1e6:.3g} million weights to train',
            f'  data: {len(loader.dataset)} images of {type(loader.dataset).__name__}, a batch is '
            + batch,
            f'  training: {length}'
            + (f'; {optimizer.type}, learning rate {optimizer.lr}' if 'lr' in optimizer else '')
            + f'; seed {runner.seed}',
            f'  results: {runner.work_dir}',
        )
    )
