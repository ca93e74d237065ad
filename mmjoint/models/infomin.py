"""InfoMin: MoCo v2 with a jigsaw branch."""

from typing import Any

import torch.nn.functional as F
from mmengine.dist import get_rank
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from .stock_fixes import HostFreeMoCo


@MODELS.register_module()
class JigsawNeck(BaseModule):
    """Project every patch of an image by itself, then all of them together.

    Source: PIRL (arXiv 1912.01991), section 3.2; the sizes and the two layers before the joint one
    are the PyContrast repository's.

    Args:
        in_channels (int): Number of channels of the backbone's feature maps.
        hid_channels (int): Number of channels of the hidden layer.
        out_channels (int): Number of channels of the projection of a patch and of the image.
        num_patches (int): Number of patches per image. Defaults to 9.
        init_cfg (dict, optional): Initialization, as in mmengine. Defaults to None.
    """

    def __init__(
        self,
        in_channels: int,
        hid_channels: int,
        out_channels: int,
        num_patches: int = 9,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_patches = num_patches
        self.patch = nn.Sequential(
            nn.Linear(in_channels, hid_channels),
            nn.ReLU(inplace=True),
            nn.Linear(hid_channels, out_channels),
        )
        self.image = nn.Linear(num_patches * out_channels, out_channels)

    def forward(self, x: tuple[Tensor]) -> tuple[Tensor]:
        """Project the feature maps of the patches of N images.

        Args:
            x (tuple[Tensor]): The backbone's last maps, (N * num_patches, in_channels, h, w), the
                patches of an image one after the other.

        Returns:
            tuple[Tensor]: The projections, of shape (N, out_channels), not normalized.
        """
        patches = self.patch(x[-1].mean((2, 3)))
        return (self.image(patches.reshape(-1, self.num_patches * patches.shape[1])),)


@MODELS.register_module()
class InfoMin(HostFreeMoCo):
    """The model of InfoMin (arXiv 2005.10243): MoCo v2 with a jigsaw of patches as second query.

    The query of view 1 and that of the patches are both compared with the key of view 2 and one
    queue. As in the PyContrast repository, the loss is ``1 - jigsaw_weight`` times that of view 1
    plus ``jigsaw_weight`` times that of the patches. The patches go through the backbone in a pass
    of their own, and the jigsaw neck has no momentum copy.

    Args:
        jigsaw_neck (dict): Config of the neck for the patches, a ``JigsawNeck``.
        jigsaw_weight (float): Weight of the loss of the patches, in [0, 1]. Defaults to 0.5.
        **kwargs: Arguments of mmpretrain's ``MoCo``.

    Raises:
        ValueError: ``jigsaw_weight`` is out of range, or the inputs are not two views and patches.
    """

    def __init__(self, jigsaw_neck: dict, jigsaw_weight: float = 0.5, **kwargs: Any) -> None:
        if not 0 <= jigsaw_weight <= 1:
            raise ValueError(f'jigsaw_weight must be in [0, 1], got {jigsaw_weight!r}')
        super().__init__(**kwargs)
        self.jigsaw_neck = MODELS.build(jigsaw_neck)
        self.jigsaw_weight = jigsaw_weight

    def loss(
        self, inputs: list[Tensor], data_samples: list[DataSample] | None = None, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute the two losses and update the queue.

        Args:
            inputs (list[Tensor]): Views 1 and 2, each (N, C, H, W), and the patches that
                ``JigsawPatches`` stacked, (N, C, num_patches * h, h).
            data_samples (list[DataSample]): Ignored.

        Returns:
            dict[str, Tensor]: ``loss_pair`` and ``loss_jigsaw``, multiplied by their weights.
        """
        patches = self._unstack(inputs)
        queue, start = self.queue.clone(), self.queue_place()
        loss_pair = super().loss(inputs[:2], data_samples, **kwargs)['loss']
        # MoCo has just put the keys of all processes into the queue, in the order of their ranks.
        start += get_rank() * len(inputs[0])
        keys = self.queue[:, start : start + len(inputs[0])].T.clone()

        query = F.normalize(self.jigsaw_neck(self.backbone(patches))[0], dim=1)
        positives = (query * keys).sum(1, keepdim=True)
        loss_jigsaw = self.head.loss(positives, query @ queue)
        return dict(
            loss_pair=(1 - self.jigsaw_weight) * loss_pair,
            loss_jigsaw=self.jigsaw_weight * loss_jigsaw,
        )

    def _unstack(self, inputs: list[Tensor]) -> Tensor:
        """Return the patches as images, (N * num_patches, C, h, h)."""
        number = self.jigsaw_neck.num_patches
        shapes = [tuple(view.shape) for view in inputs]
        if len(inputs) != 3 or shapes[2][2] != number * shapes[2][3]:
            raise ValueError(
                f'InfoMin needs two views and {number} square patches one below the other '
                f'(JigsawPatches), got inputs of shapes {shapes}'
            )
        stacked = inputs[2]
        patches = stacked.unflatten(2, (number, stacked.shape[3]))  # (N, C, number, h, h)
        return patches.transpose(1, 2).flatten(0, 1)
