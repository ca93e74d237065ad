"""LoadSemanticBox: looks up the box of an image's main object, for ContrastiveCrop."""

import logging

import torch
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadSemanticBox(BaseTransform):
    """Look up the semantic box of an image, before ``JointView`` hands it to ``JointCrop``.

    The boxes come from ``ContrastiveCropHook``, which finds this transform in the pipeline of the
    training set and shares a tensor with it and with the data loader's workers. An image whose box
    is not known yet (during the warm-up) gets None.

    Required Keys:

    - sample_idx: the number of the image in its data set, which mmengine's ``BaseDataset`` adds.

    Added Keys:

    - semantic_box (tuple[float, float, float, float] | None): (x0, y0, x1, y1), fractions of the
      image's width and height.

    Examples:
        >>> [dict(type='LoadImage'),
        >>>  dict(type='LoadSemanticBox'),
        >>>  dict(type='JointView', num_views=2, transforms=[[
        >>>      dict(type='JointCrop', scale=224, position='semantic', alpha=0.6)]]),
        >>>  dict(type='PackInputs')]
    """

    def __init__(self) -> None:
        self.boxes: torch.Tensor | None = None
        self._warned = False

    def connect(self, boxes: torch.Tensor) -> None:
        """Take the boxes from a tensor from now on.

        Args:
            boxes (torch.Tensor): Float, of shape (number of images, 4), a row NaN where the box is
                not known. In shared memory, so that workers see later changes.
        """
        self.boxes = boxes

    def transform(self, results: dict) -> dict:
        """Add ``semantic_box``."""
        box = None
        if self.boxes is not None:
            row = self.boxes[results['sample_idx']]
            box = None if row.isnan().any() else tuple(row.tolist())
        elif not self._warned:
            self._warned = True
            print_log(
                'LoadSemanticBox: no ContrastiveCropHook provides boxes, so crops ignore them'
                " (custom_hooks=[dict(type='ContrastiveCropHook')])",
                logger='current',
                level=logging.WARNING,
            )
        results['semantic_box'] = box
        return results
