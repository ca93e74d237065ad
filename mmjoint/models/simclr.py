"""SimCLR whose gradient does not depend on the number of processes."""

from typing import Any

from mmengine.dist import get_world_size
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from .stock_fixes import HostFreeSimCLR


@MODELS.register_module()
class DistributedSimCLR(HostFreeSimCLR):
    """mmpretrain's SimCLR, with the gradient of the whole batch for any number of processes.

    Each of W processes gathers all features and computes the same loss, but mmpretrain's
    ``GatherLayer`` passes back only the gradient that belongs to the process's own images, and
    DistributedDataParallel then divides the sum over the processes by W. So the gradient is 1/W of
    the gradient that one process computes for the whole batch, and a learning rate has a different
    effect on a different number of GPUs. (LARS and Adam cancel the scale of the gradient, SGD does
    not.) The same fault in another library: https://github.com/lightly-ai/lightly/issues/1528; the
    layer in question: https://github.com/open-mmlab/mmselfsup/issues/107.

    Loss, arguments and checkpoints are those of ``SimCLR``; in one process nothing changes.
    """

    def loss(
        self, inputs: list[Tensor], data_samples: list[DataSample], **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute the loss over the pairs of all processes.

        Args:
            inputs (list[Tensor]): View 1 and view 2 of this process's images, each (N, C, H, W).
            data_samples (list[DataSample]): Ignored.

        Returns:
            dict[str, Tensor]: The loss, the same in every process.
        """
        losses = super().loss(inputs, data_samples, **kwargs)
        world_size = get_world_size()
        if losses['loss'].requires_grad:
            losses['loss'].register_hook(lambda grad: grad * world_size)
        return losses
