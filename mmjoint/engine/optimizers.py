"""Optimizers of mmpretrain that are slow on a GPU, rewritten."""

from collections import defaultdict
from collections.abc import Callable

import torch
from mmpretrain.engine.optimizers import LARS
from mmpretrain.registry import OPTIMIZERS
from torch import Tensor

# The properties that the weights of one call share.
_HYPERPARAMETERS = ('lr', 'momentum', 'dampening', 'weight_decay', 'nesterov', 'eta')


@OPTIMIZERS.register_module()
class ForeachLARS(LARS):
    """mmpretrain's LARS in a few calls for all weights, without waiting for the GPU.

    mmpretrain's optimizer reads two norms of every weight back to the host, each of which waits
    until the GPU has finished all its work, and launches about eight kernels per weight. Here the
    weights of all parameter groups with equal settings (mmengine makes one group per weight) are
    updated together by torch's foreach operations, and the norms stay on the device; the norms of
    weights in half precision are float32, so they do not overflow.

    Arguments, updates and state are those of mmpretrain's ``LARS`` (arXiv 1708.03888), so a
    checkpoint of either can be resumed with the other.

    Args:
        params (Iterable): Weights, or dicts of parameter groups; ``lars_exclude=True`` in a group
            excludes its weights from the layer-wise scaling.
        lr (float): Learning rate, at least 0.
        momentum (float): Momentum, at least 0. Defaults to 0.
        weight_decay (float): Weight decay, at least 0. Defaults to 0.
        dampening (float): Dampening of the momentum. Defaults to 0.
        eta (float): LARS coefficient, at least 0. Defaults to 0.001.
        nesterov (bool): Whether to use Nesterov momentum. Defaults to False.
        eps (float): Added to the denominator of the scale. Defaults to 1e-8.

    Raises:
        ValueError: If an argument is out of range.

    Examples:
        >>> optim_wrapper = dict(optimizer=dict(type='ForeachLARS', lr=0.6, momentum=0.9))
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Update the weights that have a gradient.

        Args:
            closure (Callable, optional): A function that computes gradients and returns the loss.

        Returns:
            Tensor | None: The closure's loss, if there is a closure.

        Raises:
            RuntimeError: If a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        alike = defaultdict(list)
        for group in self.param_groups:
            settings = tuple(group[name] for name in _HYPERPARAMETERS)
            excluded = group.get('lars_exclude', False)
            for weight in group['params']:
                if weight.grad is None:
                    continue
                if weight.grad.is_sparse:
                    raise RuntimeError('ForeachLARS does not support sparse gradients')
                # Weights without a momentum yet (after resuming, or frozen until now) get one.
                started = 'momentum_buffer' in self.state.get(weight, {})
                kind = (weight.device, weight.dtype, weight.grad.dtype, started)
                alike[settings, excluded, kind].append(weight)
        for (settings, excluded, kind), weights in alike.items():
            self._update(
                weights, excluded, kind[-1], **dict(zip(_HYPERPARAMETERS, settings, strict=True))
            )
        return loss

    def _update(
        self,
        weights: list[Tensor],
        excluded: bool,
        started: bool,
        lr: float,
        momentum: float,
        dampening: float,
        weight_decay: float,
        nesterov: bool,
        eta: float,
    ) -> None:
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        steps = torch._foreach_add(gradients, weights, alpha=weight_decay)
        if excluded:
            torch._foreach_mul_(steps, lr)
        else:
            rates = self._rates(weights, gradients, lr, weight_decay, eta)
            torch._foreach_mul_(steps, list(rates))
        if momentum != 0:
            if started:
                buffers = [self.state[weight]['momentum_buffer'] for weight in weights]
                torch._foreach_mul_(buffers, momentum)
                torch._foreach_add_(buffers, steps, alpha=1 - dampening)
            else:
                buffers = list(steps)
                for weight, buffer in zip(weights, buffers, strict=True):
                    self.state[weight]['momentum_buffer'] = buffer
            if nesterov:
                steps = torch._foreach_add(steps, buffers, alpha=momentum)
            else:
                steps = tuple(buffers)
        torch._foreach_add_(weights, steps, alpha=-1)

    def _rates(
        self,
        weights: list[Tensor],
        gradients: list[Tensor],
        lr: float,
        weight_decay: float,
        eta: float,
    ) -> tuple[Tensor, ...]:
        """Return the learning rate of each weight, as scalars on its device."""
        weight_norm, gradient_norm = (
            torch.stack(torch._foreach_norm(tensors, 2, dtype=_norm_dtype(tensors[0])))
            for tensors in (weights, gradients)
        )
        scale = eta * weight_norm / (gradient_norm + weight_decay * weight_norm + self.eps)
        scaled = (weight_norm != 0) & (gradient_norm != 0)
        return torch.where(scaled, scale, 1.0).mul(lr).unbind()


def _norm_dtype(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.dtype.itemsize < 4 else tensor.dtype
