"""Gives mmcv the operations that detectors need if it was installed without compiled ones.

mmdet imports all operations of mmcv, which a compiler takes long to build, but Faster R-CNN and
Mask R-CNN call only two of them, which torchvision has too, for CPUs and GPUs. Importing this file
puts torchvision's in their place, if mmcv has none; do so before mmdet is imported.
"""

import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType

import torch
from torch import Tensor
from torchvision import ops

_AVERAGE = 1


class TorchvisionOps(ModuleType):
    """Stands for the compiled module of mmcv."""

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*args: object, **kwargs: object) -> None:
            raise NotImplementedError(
                f'{name}: torchvision does not have this operation of mmcv; mmcv has to be '
                'installed with compiled operations (MMCV_WITH_OPS=1)'
            )

        return missing

    @staticmethod
    def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
        """Return the indices of the boxes that no better one overlaps, best first."""
        if offset:
            raise NotImplementedError(f'nms with offset {offset}: torchvision has 0 only')
        return ops.nms(boxes, scores, iou_threshold)

    @staticmethod
    def roi_align_forward(
        features: Tensor,
        rois: Tensor,
        output: Tensor,
        argmax_y: Tensor,
        argmax_x: Tensor,
        *,
        aligned_height: int,
        aligned_width: int,
        spatial_scale: float,
        sampling_ratio: int,
        pool_mode: int,
        aligned: bool,
    ) -> None:
        """Fill ``output`` with the regions' features, averaged over the samples of each cell."""
        if pool_mode != _AVERAGE:
            raise NotImplementedError('roi_align with maxima: torchvision has averages only')
        output.copy_(
            torch.ops.torchvision.roi_align(
                features, rois, spatial_scale, aligned_height, aligned_width, sampling_ratio,
                aligned,
            )
        )  # fmt: skip

    @staticmethod
    def roi_align_backward(
        grad_output: Tensor,
        rois: Tensor,
        argmax_y: Tensor,
        argmax_x: Tensor,
        grad_input: Tensor,
        *,
        aligned_height: int,
        aligned_width: int,
        spatial_scale: float,
        sampling_ratio: int,
        pool_mode: int,
        aligned: bool,
    ) -> None:
        """Fill ``grad_input`` with the gradient of the features."""
        grad_input.copy_(
            torch.ops.torchvision._roi_align_backward(
                grad_output, rois, spatial_scale, aligned_height, aligned_width, *grad_input.shape,
                sampling_ratio, aligned,
            )
        )  # fmt: skip


_NAME = 'mmcv._ext'
if _NAME not in sys.modules and importlib.util.find_spec(_NAME) is None:
    sys.modules[_NAME] = TorchvisionOps(_NAME)
    # mmengine looks for it, and mmcv's SyncBatchNorm can be imported now.
    sys.modules[_NAME].__spec__ = ModuleSpec(_NAME, None)
