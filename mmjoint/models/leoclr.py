"""LeOCLR: MoCo v2 whose query is the whole image."""

from typing import Any

import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.nn import functional as F

from .stock_fixes import HostFreeMoCo


@MODELS.register_module()
class LeOCLR(HostFreeMoCo):
    """LeOCLR (arXiv 2403.06813): each of two crops is pulled towards the image it was cut from.

    The query is the original image, resized and not cropped; the keys are two random crops, encoded
    by the momentum encoder without gradient. The loss is the sum of the two InfoNCE losses of the
    query, one per crop, against the same queue. With MoCo's neck and head the model builds on MoCo
    v2, as in the paper; arguments and checkpoints are those of ``MoCo``.

    The keys of the first crop are enqueued. This is our choice, as we know of no published code:
    the two crops come from the same distribution, and with one key per image and iteration the keys
    in the queue are as old, and from as many different images, as in MoCo.

    Args:
        **kwargs: Arguments of ``MoCo``.

    Examples:
        >>> dict(type='LeOCLR', queue_len=65536, feat_dim=128, momentum=0.001,
        ...     backbone=dict(type='ResNet', depth=50),
        ...     neck=dict(type='MoCoV2Neck', in_channels=2048, hid_channels=2048, out_channels=128),
        ...     head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'),
        ...               temperature=0.2))
    """

    def loss(
        self, inputs: list[Tensor], data_samples: list[DataSample] | None = None, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute the loss, update the momentum encoder and fill the queue.

        Args:
            inputs (list[Tensor]): The original images and two crops of them, each (N, C, H, W).
            data_samples (list[DataSample], optional): Ignored.

        Returns:
            dict[str, Tensor]: The loss of this process's images.

        Raises:
            ValueError: If there are not three views.
        """
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 3:
            found = len(inputs) if isinstance(inputs, (list, tuple)) else type(inputs).__name__
            raise ValueError(
                'LeOCLR needs three views, the original image and two crops of it '
                f'(JointView with num_views=[1, 2]), got {found}'
            )
        original, *crops = inputs
        query = F.normalize(self.neck(self.backbone(original))[0], dim=1)
        with torch.no_grad():
            self.encoder_k.update_parameters(nn.Sequential(self.backbone, self.neck))
            keys = [self._encode_keys(crop) for crop in crops]
        negative = query @ self.queue.clone()
        losses = [self.head.loss((query * key).sum(1, keepdim=True), negative) for key in keys]
        self._dequeue_and_enqueue(keys[0])
        return dict(loss=losses[0] + losses[1])
