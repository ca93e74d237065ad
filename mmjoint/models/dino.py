"""DINO: a student learns the softmax of a teacher that is its own moving average."""

import math
from collections.abc import Sequence
from copy import deepcopy
from itertools import chain, groupby
from typing import Any

import torch
from mmcv.cnn.bricks import DropPath
from mmengine.logging import MessageHub
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd


@MODELS.register_module()
class DINO(BaseSelfSupervisor):
    """DINO (arXiv 2104.14294), with multi-crop.

    The student sees all views, the teacher the first two (the global ones). Consecutive views of
    one size go through the backbone in one pass; all views go through the neck in one pass.

    The weights of the teacher are the moving average of the student's, as in the authors'
    repository: the share that the teacher keeps rises from ``1 - base_momentum`` to 1 on a cosine
    over the whole run. Its batch norms normalize by its own views, and keep their running
    statistics; the student's stochastic depth and dropout are off in the teacher. The update that
    belongs to an optimizer step is made at the start of the next iteration, so the teacher of a
    checkpoint is one update behind its student (at the end of a run that update is negligible). The
    teacher's weights are named ``teacher.backbone.`` and ``teacher.neck.``; the authors evaluate
    the teacher, while ``backbone.`` is the student.

    mmpretrain has no DINO; the one in its ``projects`` never updates the teacher.

    Args:
        backbone (dict): Config of a backbone whose last output is a feature map (N, C, H, W), which
            is averaged over space, or a vector (N, C), such as the class token.
        neck (dict): Config of the projection, a ``DINONeck``.
        head (dict): Config of the loss, a ``DINOHead``.
        base_momentum (float): The share of the new weights at the start of the run, in [0, 1], as
            mmpretrain counts it: 1 minus the 0.996 of the paper. Defaults to 0.004.
        pretrained (str, optional): Checkpoint to start from. Defaults to None.
        data_preprocessor (dict, optional): Defaults to None, a ``SelfSupDataPreprocessor``.
        init_cfg (dict | list[dict], optional): Initialization, as in mmengine. Defaults to None.

    Raises:
        ValueError: If ``base_momentum`` is out of range.

    Examples:
        >>> dict(type='DINO', backbone=dict(type='ResNet', depth=50),
        ...     neck=dict(type='DINONeck', in_channels=2048, out_channels=65536),
        ...     head=dict(type='DINOHead', out_channels=65536))
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        base_momentum: float = 0.004,
        pretrained: str | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if not 0 <= base_momentum <= 1:
            raise ValueError(
                'DINO: base_momentum, the share of the new weights, must lie in [0, 1], got '
                f'{base_momentum!r}'
            )
        super().__init__(
            backbone=backbone,
            neck=neck,
            head=head,
            pretrained=pretrained,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.base_momentum = base_momentum
        self.teacher = nn.ModuleDict(
            dict(backbone=deepcopy(self.backbone), neck=deepcopy(self.neck))
        ).requires_grad_(False)
        # Number of updates so far; the first one copies the student's initial weights.
        self.register_buffer('teacher_steps', torch.zeros((), dtype=torch.long))
        self._steps: int | None = None

    def train(self, mode: bool = True) -> 'DINO':
        """Set the mode; stochastic depth and dropout always stay off in the teacher.

        Args:
            mode (bool): Whether to set training mode. Defaults to True.

        Returns:
            DINO: The model itself.
        """
        super().train(mode)
        for module in self.teacher.modules():
            if isinstance(module, (DropPath, _DropoutNd)):
                module.eval()
        return self

    def teacher_momentum(self, step: int) -> float:
        """Return the share of the student's weights in the update after an optimizer step.

        Args:
            step (int): Index of the iteration, from 0.

        Returns:
            float: ``base_momentum`` at step 0, falling on a cosine to 0 at the end of the run.

        Raises:
            RuntimeError: If the length of the run is not known, because no Runner trains the model.
        """
        max_iters = MessageHub.get_current_instance().runtime_info.get('max_iters')
        if max_iters is None:
            raise RuntimeError(
                "DINO: the teacher's momentum follows the length of the run, but there is no "
                "max_iters in the message hub: train with mmengine's Runner"
            )
        return self.base_momentum * (1 + math.cos(math.pi * step / max_iters)) / 2

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._steps = None

    @torch.no_grad()
    def update_teacher(self) -> None:
        """Move the teacher towards the student by the update of the preceding iteration."""
        if self._steps is None:  # counted on the host: reading the buffer waits for a GPU
            self._steps = int(self.teacher_steps)
        step = self._steps
        if step == 0:
            self.teacher['backbone'].load_state_dict(self.backbone.state_dict())
            self.teacher['neck'].load_state_dict(self.neck.state_dict())
        else:
            momentum = self.teacher_momentum(step - 1)
            student = chain(self.backbone.parameters(), self.neck.parameters())
            torch._foreach_lerp_(list(self.teacher.parameters()), list(student), momentum)
        self.teacher_steps += 1
        self._steps += 1

    def loss(
        self, inputs: list[Tensor], data_samples: list[DataSample] | None = None, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute the loss; in training also update the teacher and the center.

        Args:
            inputs (list[Tensor]): The views, each (N, C, H, W), the two global ones first.
            data_samples (list[DataSample], optional): Ignored.

        Returns:
            dict[str, Tensor]: The loss of this process's images.

        Raises:
            ValueError: If there are fewer than two views.
        """
        if not isinstance(inputs, (list, tuple)) or len(inputs) < 2:
            raise ValueError('DINO needs at least two views, the two global ones first')
        if self.training:
            self.update_teacher()
        with torch.no_grad():
            teacher = _project(self.teacher['backbone'], self.teacher['neck'], inputs[:2])
        student = _project(self.backbone, self.neck, inputs)
        return dict(loss=self.head.loss(student, teacher))


def _project(backbone: nn.Module, neck: nn.Module, views: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Project views; consecutive views of one size share a backbone pass."""
    features = []
    for _, same_size in groupby(views, key=lambda view: view.shape[1:]):
        feature = backbone(torch.cat(list(same_size)))[-1]
        features.append(feature.mean((2, 3)) if feature.ndim == 4 else feature)
    (logits,) = neck((torch.cat(features),))
    return logits.chunk(len(views))
