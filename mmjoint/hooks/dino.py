"""DINO's steps between the backward pass and the optimizer step."""

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..utils.models import unwrapped


@HOOKS.register_module()
class DINOHook(Hook):
    """Clip the gradient of each weight separately, and freeze DINO's prototypes at first.

    This follows the authors' repository. Its clipping uses the norm of one weight tensor at a time,
    while ``optim_wrapper.clip_grad`` uses the norm of all of them together: with the same number it
    would scale down a ResNet-50's gradient far more often. A frozen weight gets no gradient at all,
    so neither weight decay nor momentum changes it.

    Args:
        freeze_last_layer (int): Number of epochs for which ``neck.last_layer`` is frozen. Defaults
            to 1.
        clip_grad (float, optional): Largest L2 norm of a weight's gradient, above 0; None does not
            clip. Defaults to 3.0.

    Raises:
        ValueError: If an argument is out of range, or, before training, if
            ``optim_wrapper.clip_grad`` is set too.

    Examples:
        >>> custom_hooks = [dict(type='DINOHook', freeze_last_layer=1, clip_grad=3.0)]
    """

    def __init__(self, freeze_last_layer: int = 1, clip_grad: float | None = 3.0) -> None:
        if not isinstance(freeze_last_layer, int) or freeze_last_layer < 0:
            raise ValueError(
                'DINOHook: freeze_last_layer must be an int of 0 or more, got '
                f'{freeze_last_layer!r}'
            )
        if clip_grad is not None and not clip_grad > 0:
            raise ValueError(f'DINOHook: clip_grad must be above 0 or None, got {clip_grad!r}')
        self.freeze_last_layer = freeze_last_layer
        self.clip_grad = clip_grad

    def before_train(self, runner: Runner) -> None:
        """Make the optimizer call this hook before each step, when gradients are unscaled."""
        wrapper = runner.optim_wrapper
        if self.clip_grad is not None and getattr(wrapper, 'clip_grad_kwargs', None):
            raise ValueError(
                'DINOHook: both optim_wrapper.clip_grad and the clip_grad of this hook are set: '
                'take one, and set the other to None'
            )
        model = unwrapped(runner.model)
        last_layer = set(model.neck.last_layer.parameters())

        def before_step(optimizer: torch.optim.Optimizer, *_: object) -> None:
            frozen = runner.epoch < self.freeze_last_layer
            weights = [weight for group in optimizer.param_groups for weight in group['params']]
            if frozen:
                for weight in last_layer:
                    weight.grad = None
            gradients = [weight.grad for weight in weights if weight.grad is not None]
            if self.clip_grad is not None and gradients:
                # The same as torch's clip_grad_norm_ of each weight, in a few calls for all of
                # them.
                scales = torch.stack(torch._foreach_norm(gradients))
                scales = (self.clip_grad / (scales + 1e-6)).clamp(max=1.0)
                torch._foreach_mul_(gradients, scales.unbind())

        self._handle = wrapper.optimizer.register_step_pre_hook(before_step)

    def after_train(self, runner: Runner) -> None:
        """Restore the optimizer's own step."""
        self._handle.remove()
