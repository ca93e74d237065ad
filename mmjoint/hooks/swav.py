"""SwAV's queues, saved in the checkpoints."""

import torch
from mmengine.dist import all_gather, get_rank, get_world_size
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmpretrain.engine import SwAVHook
from torch import nn

from ..utils.models import unwrapped


@HOOKS.register_module()
class CheckpointedSwAVHook(SwAVHook):
    """mmpretrain's SwAVHook, with the queues of the checkpoint from which a run continues.

    mmpretrain's hook writes each process's queue into a separate file, in place, and reads that
    file at every start, also if it belongs to an earlier run, to an epoch of which there is no
    checkpoint, or to another number of processes. ``tools/train.py`` replaces ``SwAVHook`` by this
    hook.

    Args:
        **kwargs: Arguments of ``mmpretrain.engine.SwAVHook``; ``interval`` has no effect.
    """

    _gathered: torch.Tensor | None = None

    def before_run(self, runner: Runner) -> None:
        """Fit the queue's length to the batch."""
        self.queue_length -= self.queue_length % self.batch_size

    def after_train_epoch(self, runner: Runner) -> None:
        """Keep the queue, which the loss has updated."""
        self.queue = self._loss(runner).queue

    def gather_state(self, runner: Runner) -> None:
        """Gather the queues of all processes, before a checkpoint is saved."""
        queue = getattr(self._loss(runner), 'queue', None)
        self._gathered = None if queue is None else torch.cat(all_gather(queue), dim=1).cpu()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save them as ``swav_queue``, of shape (views, images of all processes, channels)."""
        if self._gathered is not None:
            checkpoint['swav_queue'] = self._gathered

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take this process's part of the queues of a resumed run."""
        queue = checkpoint.get('swav_queue')
        if not runner._resume or queue is None:
            return
        length = self.queue_length // get_world_size()
        if queue.shape[1] != length * get_world_size():
            print_log(f"SwAV's queue had {queue.shape[1]} images: it is filled anew", 'current')
            return
        self.queue = queue[:, get_rank() * length :][:, :length].to(self._device(runner)).clone()

    @staticmethod
    def _loss(runner: Runner) -> nn.Module:
        model = unwrapped(runner.model)
        return model.head.loss_module

    @staticmethod
    def _device(runner: Runner) -> torch.device:
        return next(runner.model.parameters()).device
