"""The projection of DINO and its loss."""

import mmengine.dist as dist
import torch
from mmcv.cnn import build_norm_layer
from mmengine.logging import MessageHub
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F


class WeightNormLinear(nn.Module):
    """A linear layer without bias whose weight is a length times a direction, ``g v / |v|``.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output, K.
        train_norm (bool): Whether the lengths g are trained. They start at 1.
    """

    def __init__(self, in_channels: int, out_channels: int, train_norm: bool) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(out_channels, 1), requires_grad=train_norm)
        self.weight_v = nn.Parameter(nn.Linear(in_channels, out_channels, bias=False).weight.data)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to features (N, in_channels)."""
        return F.linear(x, self.weight_g * F.normalize(self.weight_v, dim=1))


@MODELS.register_module()
class DINONeck(BaseModule):
    """The projection of DINO: an MLP with GELU to a bottleneck, normalization, and K prototypes.

    It is made and initialized as in the authors' repository; ``last_layer``, the prototypes, is
    what ``DINOHook`` freezes during the first epochs.

    Args:
        in_channels (int): Channels of the backbone's features.
        out_channels (int): Number of prototypes, K. Defaults to 65536.
        hid_channels (int): Number of channels of the hidden layers. Defaults to 2048.
        bottleneck_channels (int): Number of channels of the MLP's output. Defaults to 256.
        num_layers (int): Number of layers of the MLP. Defaults to 3.
        with_bn (bool): Whether the hidden layers have batch norm. Defaults to False.
        norm_last_layer (bool): Whether the prototypes keep length 1. False trains their lengths
            too, which is better with ViT-S but unstable with other backbones. Defaults to True.
        norm_cfg (dict, optional): Config of the batch norm. Defaults to None, SyncBN.
        init_cfg (dict | list[dict], optional): Initialization, as in mmengine. Defaults to None,
            the authors' initialization.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 65536,
        hid_channels: int = 2048,
        bottleneck_channels: int = 256,
        num_layers: int = 3,
        with_bn: bool = False,
        norm_last_layer: bool = True,
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_layers < 1:
            raise ValueError(f'DINONeck: num_layers must be at least 1, got {num_layers!r}')
        if norm_cfg is not None and not with_bn:
            raise ValueError('DINONeck: norm_cfg has no effect without with_bn=True')
        layers: list[nn.Module] = []
        channels = in_channels
        for _ in range(num_layers - 1):
            layers.append(nn.Linear(channels, hid_channels))
            if with_bn:
                layers.append(build_norm_layer(norm_cfg or dict(type='SyncBN'), hid_channels)[1])
            layers.append(nn.GELU())
            channels = hid_channels
        layers.append(nn.Linear(channels, bottleneck_channels))
        for layer in layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.mlp = nn.Sequential(*layers)
        self.last_layer = WeightNormLinear(
            bottleneck_channels, out_channels, train_norm=not norm_last_layer
        )

    def forward(self, x: tuple[Tensor]) -> tuple[Tensor]:
        """Project features.

        Args:
            x (tuple[Tensor]): The pooled features, (N, in_channels).

        Returns:
            tuple[Tensor]: The logits, (N, out_channels), in [-1, 1] with ``norm_last_layer``.
        """
        return (self.last_layer(F.normalize(self.mlp(x[0]), dim=-1)),)


@MODELS.register_module()
class DINOHead(BaseModule):
    """The loss of DINO: cross-entropy with the teacher's centered and sharpened softmax.

    The loss is the mean over all pairs of a view of the teacher and another view of the student.
    The center is the moving average of the teacher's logits over all processes; the loss of an
    iteration uses the center as the preceding iterations left it.

    Args:
        out_channels (int): Number of prototypes, K. Defaults to 65536.
        student_temperature (float): The student's temperature, above 0. Defaults to 0.1.
        teacher_temperature (float): The teacher's temperature after the warm-up, above 0. Defaults
            to 0.04.
        warmup_teacher_temperature (float): The teacher's temperature in the first epoch of the
            warm-up, above 0. Defaults to 0.04.
        warmup_epochs (int): Number of epochs of the linear warm-up of the teacher's temperature,
            which reaches ``teacher_temperature`` in the last of them. Defaults to 0, no warm-up.
        center_momentum (float): The share of the center that an iteration keeps, in [0, 1].
            Defaults to 0.9.
        init_cfg (dict | list[dict], optional): As in mmengine. Defaults to None.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        out_channels: int = 65536,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        warmup_teacher_temperature: float = 0.04,
        warmup_epochs: int = 0,
        center_momentum: float = 0.9,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        for name, value in (
            ('student_temperature', student_temperature),
            ('teacher_temperature', teacher_temperature),
            ('warmup_teacher_temperature', warmup_teacher_temperature),
        ):
            if not value > 0:
                raise ValueError(f'DINOHead: {name} must be above 0, got {value!r}')
        if not isinstance(warmup_epochs, int) or warmup_epochs < 0:
            raise ValueError(
                f'DINOHead: warmup_epochs must be an int of 0 or more, got {warmup_epochs!r}'
            )
        if not 0 <= center_momentum <= 1:
            raise ValueError(
                f'DINOHead: center_momentum must lie in [0, 1], got {center_momentum!r}'
            )
        self.student_temperature = student_temperature
        self.final_teacher_temperature = teacher_temperature
        self.warmup_teacher_temperature = warmup_teacher_temperature
        self.warmup_epochs = warmup_epochs
        self.center_momentum = center_momentum
        self.register_buffer('center', torch.zeros(1, out_channels))

    def teacher_temperature(self, epoch: int) -> float:
        """Return the teacher's temperature in an epoch.

        Args:
            epoch (int): Index of the epoch, from 0.

        Returns:
            float: The temperature.
        """
        if epoch >= self.warmup_epochs:
            return self.final_teacher_temperature
        progress = epoch / max(self.warmup_epochs - 1, 1)
        start = self.warmup_teacher_temperature
        return start + (self.final_teacher_temperature - start) * progress

    def loss(self, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...]) -> Tensor:
        """Compute the loss; in training also update the center.

        Args:
            student (tuple[Tensor, ...]): The student's logits for each view, (N, K); the views that
                the teacher sees come first.
            teacher (tuple[Tensor, ...]): The teacher's logits for its views, (N, K).

        Returns:
            Tensor: The mean cross-entropy in nats.

        Raises:
            RuntimeError: If the teacher's temperature warms up and the epoch is not known, because
                no Runner trains the model.
        """
        temperature = self.teacher_temperature(self._epoch() if self.warmup_epochs else 0)
        # Not one matrix product: automatic mixed precision would compute it in half precision.
        targets = [F.softmax((view - self.center) / temperature, dim=-1) for view in teacher]
        predictions = [F.log_softmax(view / self.student_temperature, dim=-1) for view in student]
        terms = [
            -(target * prediction).sum(-1).mean()
            for i, target in enumerate(targets)
            for j, prediction in enumerate(predictions)
            if i != j
        ]
        if self.training:
            self._update_center(torch.cat(teacher))
        return sum(terms[1:], terms[0]) / len(terms)

    @torch.no_grad()
    def _update_center(self, logits: Tensor) -> None:
        mean = logits.to(self.center.dtype).mean(0, keepdim=True)
        dist.all_reduce(mean, op='mean')
        self.center.lerp_(mean, 1 - self.center_momentum)

    @staticmethod
    def _epoch() -> int:
        epoch = MessageHub.get_current_instance().runtime_info.get('epoch')
        if epoch is None:
            raise RuntimeError(
                "DINOHead: the teacher's temperature follows the epochs, but there is no epoch in "
                "the message hub: train with mmengine's Runner"
            )
        return epoch
