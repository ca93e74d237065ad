"""Trains convolutions in the memory layout in which their kernels are fastest."""

import gc
import weakref

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from ..utils.models import unwrapped


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Store the weights of convolutions with the channels last (NHWC).

    A convolution with such weights returns feature maps of the same layout, and everything after it
    keeps the layout, so the batch is rearranged once, by the first convolution, whatever the
    algorithm does with its views before. Momentum encoders and the optimizer's state of each weight
    follow. Losses change by rounding only; names, shapes and the layout in checkpoints do not
    change, so runs resume with and without the hook.

    Raises:
        ValueError: At the start of a run, if the model is in another wrapper, such as FSDP's.

    Examples:
        >>> custom_hooks = [dict(type='ChannelsLastHook')]
    """

    # Runs before the hooks that copy the model.
    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Make DistributedDataParallel expect the layout.

        DistributedDataParallel records the layout of the weights when it is made. If the layout
        changes later, its warning speaks of a cost in time only, but the gradients of the first
        iteration are wrong. So the model gets a new wrapper. Until ``before_train`` the weights
        keep the usual layout, since their initialization draws numbers in memory order.
        """
        if not is_model_wrapper(runner.model):
            return
        if not isinstance(runner.model, DistributedDataParallel):
            raise ValueError(
                'ChannelsLastHook: DistributedDataParallel is the one model wrapper that it works '
                f'with, not {type(runner.model).__name__}'
            )
        before, model = weakref.ref(runner.model), runner.model.module
        runner.model = model.to(memory_format=torch.channels_last)
        gc.collect()
        if before() is not None:  # two wrappers would both average the gradients
            raise RuntimeError('ChannelsLastHook: something keeps the first model wrapper')
        runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model)
        model.to(memory_format=torch.contiguous_format)

    def before_train(self, runner: Runner) -> None:
        """Lay out the weights, and the optimizer state of a run without the hook, channels last."""
        model = unwrapped(runner.model)
        model.to(memory_format=torch.channels_last)
        wrapper = runner.optim_wrapper
        wrappers = [wrapper] if isinstance(wrapper, OptimWrapper) else wrapper.values()
        for optimizer in (wrapper.optimizer for wrapper in wrappers):
            for weight, state in optimizer.state.items():
                for name, value in state.items():
                    if isinstance(value, Tensor) and value.ndim == 4 and weight.ndim == 4:
                        state[name] = value.contiguous(memory_format=torch.channels_last)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save the weights in the usual layout."""
        weights = checkpoint['state_dict']
        for name, value in weights.items():
            weights[name] = value.contiguous()
