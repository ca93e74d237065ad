"""Building the Runner of a config, guarded."""

from mmengine.config import Config, ConfigDict
from mmengine.hooks import CheckpointHook
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, Runner

from .loading import CheckHook, use_safe_loader
from .resume import ResumeOrderHook


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
            less nor more. Otherwise what does not fit is said, and at least one must.

    Returns:
        Runner: Not started yet.
    """
    use_safe_loader()
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    if cfg.get('load_from'):
        runner.register_hook(CheckHook(cfg.load_from, strict), priority='VERY_HIGH')
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
