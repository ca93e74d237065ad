"""SimCLR as a bare PyTorch loop: torchvision's network, a loss and an optimizer, nothing of mm."""

import contextlib
from collections.abc import Sequence

import torch
import torchvision
from mmengine.config import Config
from torch import Tensor, nn
from torch.nn import functional as F

# Names of the necks' layers in mmpretrain, and in the ``nn.Sequential`` in place of torchvision's
# last layer.
_NECKS = {
    'MoCoV2Neck': {'mlp.0': '0', 'mlp.2': '2'},
    'NonLinearNeck': {'fc0': '0', 'bn0': '1', 'fc1': '3', 'bn1': '4'},
}


class BareSimCLR:
    """SimCLR on torchvision's ResNet, without any part of mm.

    Args:
        weights (dict[str, Tensor]): The state dict of mmpretrain's ``SimCLR``; the same values to
            start from.
        cfg (Config): Its config, from ``benchmark_config``: the depth, the neck's channels, the
            temperature, mean and std, and the optimizer's settings are read.
        options (Sequence[str]): Of ``'float16'`` and ``'bfloat16'``, ``'channels_last'`` and
            ``'compile'``.
        device (torch.device | str): Where to train. Defaults to ``'cpu'``.
    """

    def __init__(
        self,
        weights: dict[str, Tensor],
        cfg: Config,
        options: Sequence[str] = (),
        device: torch.device | str = 'cpu',
    ) -> None:
        self.device = torch.device(device)
        self.network = _network(cfg.model, weights).to(self.device).train()
        if 'channels_last' in options:
            self.network.to(memory_format=torch.channels_last)
        if 'compile' in options:
            self.network.compile(dynamic=False)
        self.dtype = next((getattr(torch, name) for name in options if 'float' in name), None)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)
        self.temperature = cfg.model.head.temperature
        self.mean, self.std = (
            torch.tensor(cfg.data_preprocessor[key], device=self.device).view(3, 1, 1)
            for key in ('mean', 'std')
        )
        settings = dict(cfg.optim_wrapper.optimizer)
        make = torch.optim.SGD if settings.pop('type') == 'SGD' else BareLARS
        self.optimizer = make(self.network.parameters(), **settings)

    def step(self, views: Sequence[Tensor]) -> Tensor:
        """Take one step of the optimizer.

        Args:
            views (Sequence[Tensor]): Two views, each (N, 3, H, W), uint8.

        Returns:
            Tensor: The loss before it, a scalar on the device.
        """
        images = torch.cat(list(views)).to(self.device, non_blocking=True)
        images = images.flip(1).float()  # BGR, as OpenCV reads
        context = (
            torch.autocast(self.device.type, self.dtype) if self.dtype else contextlib.nullcontext()
        )
        with context:
            features = self.network((images - self.mean) / self.std)
            loss = nt_xent(features, self.temperature)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return loss.detach()


class BareLARS(torch.optim.Optimizer):
    """LARS (arXiv 1708.03888) in foreach operations; vectors are neither scaled nor decayed.

    Args:
        params (Iterable[Tensor]): Weights.
        lr, momentum, weight_decay, eta (float): As of mmpretrain's ``LARS``.
    """

    def __init__(
        self, params, lr: float, momentum: float, weight_decay: float, eta: float = 0.001
    ) -> None:
        super().__init__(params, dict(lr=lr))
        self.momentum, self.weight_decay, self.eta = momentum, weight_decay, eta
        everything = self.param_groups[0]['params']
        # Weights and their momentum, of which the second are scaled by LARS.
        self.parts = [
            (weights, [torch.zeros_like(weight) for weight in weights])
            for weights in (
                [weight for weight in everything if weight.ndim == 1],
                [weight for weight in everything if weight.ndim > 1],
            )
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Update all weights."""
        (vectors, slow), (weights, fast) = self.parts
        lr, decay = self.param_groups[0]['lr'], self.weight_decay
        gradients = [weight.grad for weight in weights]
        own, change = (torch.stack(torch._foreach_norm(t)) for t in (weights, gradients))
        rates = self.eta * own / (change + decay * own + 1e-8)
        rates = lr * torch.where((own > 0) & (change > 0), rates, 1.0)
        steps = torch._foreach_add(gradients, weights, alpha=decay)
        torch._foreach_mul_(steps, rates.unbind())
        torch._foreach_mul_([*slow, *fast], self.momentum)
        torch._foreach_add_(fast, steps)
        torch._foreach_add_(slow, [vector.grad for vector in vectors], alpha=lr)
        torch._foreach_sub_([*vectors, *weights], [*slow, *fast])


def nt_xent(features: Tensor, temperature: float) -> Tensor:
    """SimCLR's loss: each view is to be matched with the other view of its pair among all views.

    Args:
        features (Tensor): Features of the first views, then of the second views, (2N, C).
        temperature (float): Divisor of the cosines.

    Returns:
        Tensor: The mean cross-entropy in nats, a scalar.
    """
    features = F.normalize(features, dim=1)
    num = len(features) // 2
    itself = torch.eye(2 * num, dtype=torch.bool, device=features.device)
    logits = (features @ features.T / temperature).masked_fill(itself, float('-inf'))
    return F.cross_entropy(logits, torch.arange(2 * num, device=features.device).roll(num))


def _network(model: Config, weights: dict[str, Tensor]) -> nn.Module:
    neck = model.neck
    network = getattr(torchvision.models, f'resnet{model.backbone.depth}')(num_classes=1)
    if model.backbone.type == 'ResNet_CIFAR':  # for small images
        network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    sizes = (neck.in_channels, neck.hid_channels), (neck.hid_channels, neck.out_channels)
    if neck.type == 'MoCoV2Neck':
        network.fc = nn.Sequential(nn.Linear(*sizes[0]), nn.ReLU(), nn.Linear(*sizes[1]))
    else:
        first, second = (nn.Linear(*size, bias=False) for size in sizes)
        norms = (nn.BatchNorm1d(size[1]) for size in sizes)
        network.fc = nn.Sequential(first, next(norms), nn.ReLU(), second, next(norms))
    names = {'backbone.': ''}
    names |= {f'neck.{old}.': f'fc.{new}.' for old, new in _NECKS[neck.type].items()}
    network.load_state_dict(
        {
            new + name.removeprefix(old): value.clone()
            for old, new in names.items()
            for name, value in weights.items()
            if name.startswith(old)
        }
    )
    return network
