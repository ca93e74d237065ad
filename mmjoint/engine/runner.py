"""Building the Runner of a config, guarded."""

import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import CheckpointHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, CheckpointLoader, Runner

from ..checkpoints import CheckpointError
from .resume import ResumeOrderHook, load_from_local


def guard_run(cfg: Config) -> None:
    """Make a training config stop at a non-finite loss and save whole checkpoints only.

    Args:
        cfg (Config): Changed in place. A config without these hooks gets them.
    """
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    checkpoint = hooks.setdefault('checkpoint', ConfigDict(type='CheckpointHook', interval=1))
    stock = ('CheckpointHook', 'mmengine.CheckpointHook', CheckpointHook)
    if checkpoint is not None and checkpoint.get('type') in stock:
        checkpoint.type = 'AtomicCheckpointHook'
    custom_hooks = cfg.get('custom_hooks') or []
    if not any('NonFiniteLossHook' in str(hook.get('type')) for hook in custom_hooks):
        cfg.custom_hooks = [*custom_hooks, dict(type='NonFiniteLossHook')]


def build_runner(cfg: Config, strict: bool) -> Runner:
    """Build the Runner of a config.

    Args:
        cfg (Config): From ``load_config``, fitted to the machine.
        strict (bool): Whether the weights of ``cfg.load_from`` must be those of the model, neither
            less nor more.

    Returns:
        Runner: Not started yet.
    """
    # mmengine's own reader falls back to running whatever code a file carries (onedl-mmengine) or
    # refuses its own checkpoints under torch >= 2.6 (mmengine 0.10).
    CheckpointLoader.register_scheme('', load_from_local, force=True)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    if strict:
        runner.register_hook(_StrictLoadHook(cfg.load_from))
    if cfg.get('resume'):
        runner.register_hook(ResumeOrderHook())
    build_train_loop = runner.build_train_loop

    def build_train_loop_with_batches(loop: object) -> BaseLoop:
        loop = build_train_loop(loop)
        if len(loop.dataloader) == 0:
            raise ValueError(
                f'the training set has {len(loop.dataloader.dataset)} images, fewer than one batch '
                f'(train_dataloader.batch_size {loop.dataloader.batch_size}, drop_last) in each '
                'process: nothing would be trained'
            )
        return loop

    runner.build_train_loop = build_train_loop_with_batches
    return runner


class _StrictLoadHook(Hook):
    """Refuse a checkpoint of another model; mmengine only logs what does not fit."""

    def __init__(self, path: str) -> None:
        self.path = path

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        expected = {name: value.shape for name, value in model.state_dict().items()}
        found = {
            name.removeprefix('module.'): value.shape
            for name, value in checkpoint.get('state_dict', checkpoint).items()
            if isinstance(value, torch.Tensor)
        }
        faults = {
            'missing': expected.keys() - found.keys(),
            'unexpected': found.keys() - expected.keys(),
            'of another shape': {
                name for name in expected.keys() & found.keys() if expected[name] != found[name]
            },
        }
        told = [
            f'{len(names)} {fault} ({", ".join(sorted(names)[:3])}{", ..." * (len(names) > 3)})'
            for fault, names in faults.items()
            if names
        ]
        if told:
            raise CheckpointError(
                f'{self.path}: not a checkpoint of this {type(model).__name__}: weights '
                + ', '.join(told)
            )
