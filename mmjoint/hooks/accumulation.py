"""Gradient accumulation: moving averages move once per optimizer step, not per micro-batch."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.model import BaseAveragedModel
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmpretrain.models.losses import SwAVLoss
from torch import Tensor, nn

from ..models.infomin import InfoMin
from ..models.swav import DistributedSwAVLoss
from ..utils.models import unwrapped

# Methods that move a momentum network during the forward pass.
_MOVES = ('update_teacher', 'momentum_update')
# Methods that put keys or features of the forward pass into a queue.
_QUEUES = ('_dequeue_and_enqueue', '_dequeue_and_enqueue2', '_enqueue')


@HOOKS.register_module()
class AccumulationHook(Hook):
    """Treat the micro-batches of one optimizer step as one batch, also outside the gradient.

    With ``optim_wrapper.accumulative_counts`` of n, mmengine makes one step of n forward passes,
    and a model that moves its momentum network, its center or its queue in the forward pass moves
    them n times per step. This hook makes the momentum networks (of MoCo, MoCo v3, BYOL, DINO,
    LeOCLR, DenseCL, CAE, and of ``EMAHook``) move in one micro-batch of a step, moves DINO's center
    by the mean of all micro-batches, and gives the queues of MoCo and SwAV all keys when the step
    is made: the loss of each micro-batch uses the queue and the center from before the step.
    Schedules of momentum count steps. Source: BYOL (arXiv 2006.07733), appendix: the target is
    updated once every N steps of gradient accumulation. ``mmjoint.engine.build_runner`` adds this
    hook if gradients are accumulated.

    Raises:
        ValueError: Before training, if a model cannot be treated in this way.
    """

    # Runs before every hook that saves or measures.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._first = self._last = True
        self._steps = 0
        self._waiting: list[tuple[Callable, tuple]] = []
        self._centers: dict[Callable, list[Tensor]] = {}
        self._changed: list[tuple[object, str]] = []

    def before_train(self, runner: Runner) -> None:
        """Take control of the updates that the model makes by itself."""
        counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        self._steps = math.ceil(runner.max_iters / counts)
        self._last = True  # the first micro-batch begins a step, also in a resumed run
        model = unwrapped(runner.model)
        for module in model.modules():
            if isinstance(module, InfoMin) or (
                isinstance(module, SwAVLoss) and not isinstance(module, DistributedSwAVLoss)
            ):
                instead = ', or take DistributedSwAVLoss' if isinstance(module, SwAVLoss) else ''
                raise ValueError(
                    f'optim_wrapper.accumulative_counts is {counts}: {type(module).__name__} '
                    f'renews its queue in every forward pass; set it to 1{instead}'
                )
            self._take_over(runner, module)
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                average = hook.ema_model
                self._replace(average, 'update_parameters', self._move(runner, average, last=True))

    def _take_over(self, runner: Runner, module: Any) -> None:
        if isinstance(module, BaseAveragedModel):
            self._replace(module, 'update_parameters', self._move(runner, module))
        for name in _MOVES:
            if hasattr(module, name):
                self._replace(module, name, self._move(runner, module, name))
        for name in _QUEUES:
            if hasattr(module, name):
                self._replace(module, name, self._wait(getattr(module, name)))
        if hasattr(module, '_update_center'):
            self._replace(module, '_update_center', self._gather(module._update_center))

    def _replace(self, module: object, name: str, method: Callable) -> None:
        setattr(module, name, method)
        self._changed.append((module, name))

    def _move(
        self,
        runner: Runner,
        module: nn.Module,
        name: str = 'update_parameters',
        last: bool = False,
    ) -> Callable:
        original = getattr(module, name)

        def move(*args: object) -> None:
            if not (self._last if last else self._first):
                return
            # A schedule of the momentum counts the updates and takes max_iters for their number.
            runner.message_hub.update_info('max_iters', self._steps)
            original(*args)
            runner.message_hub.update_info('max_iters', runner.max_iters)

        return move

    def _wait(self, original: Callable) -> Callable:
        return lambda *args: self._waiting.append((original, args))

    def _gather(self, original: Callable) -> Callable:
        means = self._centers.setdefault(original, [])
        return lambda logits: means.append(logits.float().mean(0, keepdim=True))

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Sequence | dict | None = None
    ) -> None:
        """Record whether this is the first micro-batch of a step, and whether it is the last."""
        self._first = self._last  # set by the previous micro-batch; True at the start
        self._last = runner.optim_wrapper.should_sync()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Sequence | dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Update the centers and queues once the step is made."""
        if not self._last:
            return
        for original, args in self._waiting:
            original(*args)
        self._waiting.clear()
        for original, means in self._centers.items():
            if means:
                original(torch.cat(means))
            means.clear()

    def after_train(self, runner: Runner) -> None:
        """Restore the model's own methods."""
        for module, name in self._changed:
            delattr(module, name)
        self._changed.clear()
