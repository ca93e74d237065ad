"""Stops a run whose loss is no number any more."""

import math

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Raise at a NaN or infinite loss, before a checkpoint is made of what it did to the weights.

    Args:
        interval (int): Iterations between two checks. mmengine brings every loss to the CPU in each
            iteration to log it, so checking each costs no further wait for the GPU. Defaults to 1.

    Raises:
        FloatingPointError: In the iteration of the first check that finds such a loss; the message
            names the loss and the iteration.

    Examples:
        >>> custom_hooks = [dict(type='NonFiniteLossHook')]
    """

    # Ahead of the hooks that save (VERY_LOW) and log (BELOW_NORMAL).
    priority = 'VERY_HIGH'

    def __init__(self, interval: int = 1) -> None:
        if not isinstance(interval, int) or interval < 1:
            raise ValueError(
                f'NonFiniteLossHook: interval must be a positive integer, got {interval!r}'
            )
        self.interval = interval

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Check all losses of the iteration."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        losses = {
            name: value.item() if isinstance(value, torch.Tensor) else value
            for name, value in (outputs or {}).items()
            if 'loss' in name
        }
        wrong = [f'{name} {value}' for name, value in losses.items() if not math.isfinite(value)]
        if wrong:
            raise FloatingPointError(
                f'non-finite loss in iteration {runner.iter + 1} (epoch {runner.epoch + 1}): '
                f'{", ".join(wrong)}; a lower learning rate, a longer warm-up or gradient clipping '
                'may help'
            )
