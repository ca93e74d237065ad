"""Faster and Mask R-CNN with FPN on one of our ResNets, from torchvision's parts."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models import resnet
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

DEPTHS = (18, 34, 50, 101)


@dataclass(frozen=True)
class ModelSettings:
    """The parts built on the backbone; the defaults are detectron2's for FPN.

    Args:
        masks (bool): Whether to build Mask R-CNN instead of Faster R-CNN.
        anchor_sizes (tuple[int, ...]): Side in pixels of the anchors of each of five levels.
        fpn_channels (int): Number of channels of each level.
        head_channels (int): Number of channels of the two layers of the box head.
        rpn_batch (int): Anchors per image in the RPN's loss.
        roi_batch (int): Proposals per image in the box head's loss.
        proposals (tuple[int, int]): Proposals kept per level before NMS and per image after NMS,
            in training.
        test_proposals (tuple[int, int]): The same in testing.
        roi_samples (int): Samples along each side of a bin that are averaged; torchvision's 2.
        roi_scale (int): Side in pixels of the proposals assigned to the level of stride 16.
    """

    masks: bool = False
    anchor_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)
    fpn_channels: int = 256
    head_channels: int = 1024
    rpn_batch: int = 256
    roi_batch: int = 512
    proposals: tuple[int, int] = (2000, 1000)
    test_proposals: tuple[int, int] = (1000, 1000)
    roi_samples: int = 2
    roi_scale: int = 224


class _PreparedImages(GeneralizedRCNNTransform):
    """torchvision's input step for images that the data set has resized: normalizes and pads.

    The original step resizes without antialiasing. Results stay in resized pixels, masks as (N, 1,
    28, 28) probabilities; ``to_own_size`` converts them.
    """

    def __init__(self) -> None:
        # ImageNet's mean and standard deviation, as in our pretraining (123.675 / 255, ...).
        super().__init__(0, 0, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])

    def resize(self, image: Tensor, target: dict | None = None) -> tuple[Tensor, dict | None]:
        return image, target

    def postprocess(self, result: list[dict], image_shapes: list, original_sizes: list) -> list:
        return result


def build_detector(
    depth: int, num_classes: int, settings: ModelSettings, small_stem: bool = False
) -> FasterRCNN:
    """Build the detector with everything trainable and randomly initialized.

    Batch norm is trained in the backbone and follows each of FPN's convolutions, as in MoCo's
    recipe (its issues 23 and 34 describe what happens without it); several GPUs need it converted
    to SyncBatchNorm. The heads are torchvision's.

    Args:
        depth (int): Depth of the ResNet: 18, 34, 50 or 101.
        num_classes (int): Number of classes without the background.
        settings (ModelSettings): The parts built on the backbone.
        small_stem (bool): Whether the ResNet has the stem for small images: a 3 x 3 convolution of
            stride 1 without pooling, so that levels have strides 1 to 8. Defaults to False.

    Returns:
        FasterRCNN: The detector, or its subclass MaskRCNN; it takes images from
            ``DetectionImages``.

    Raises:
        ValueError: If there is no such depth.
    """
    if depth not in DEPTHS:
        raise ValueError(f'depth is {depth}; expected one of {", ".join(map(str, DEPTHS))}')
    backbone = getattr(resnet, f'resnet{depth}')()
    if small_stem:
        backbone.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(backbone.conv1.weight, mode='fan_out', nonlinearity='relu')
        backbone.maxpool = nn.Identity()
    width = backbone.fc.in_features // 8
    channels = settings.fpn_channels
    body = BackboneWithFPN(
        backbone,
        return_layers={f'layer{i + 1}': str(i) for i in range(4)},
        in_channels_list=[width, 2 * width, 4 * width, 8 * width],
        out_channels=channels,
        norm_layer=nn.BatchNorm2d,
    )
    anchors = AnchorGenerator(
        tuple((size,) for size in settings.anchor_sizes), ((0.5, 1.0, 2.0),) * 5
    )
    levels = ['0', '1', '2', '3']
    options = dict(
        rpn_anchor_generator=anchors,
        rpn_head=RPNHead(channels, 3),
        rpn_pre_nms_top_n_train=settings.proposals[0],
        rpn_post_nms_top_n_train=settings.proposals[1],
        rpn_pre_nms_top_n_test=settings.test_proposals[0],
        rpn_post_nms_top_n_test=settings.test_proposals[1],
        rpn_batch_size_per_image=settings.rpn_batch,
        box_roi_pool=MultiScaleRoIAlign(
            levels, 7, settings.roi_samples, canonical_scale=settings.roi_scale
        ),
        box_head=TwoMLPHead(channels * 7 * 7, settings.head_channels),
        box_predictor=FastRCNNPredictor(settings.head_channels, num_classes + 1),
        box_batch_size_per_image=settings.roi_batch,
    )
    if settings.masks:
        options.update(
            mask_roi_pool=MultiScaleRoIAlign(
                levels, 14, settings.roi_samples, canonical_scale=settings.roi_scale
            ),
            mask_head=MaskRCNNHeads(channels, (channels,) * 4, 1),
            mask_predictor=MaskRCNNPredictor(channels, channels, num_classes + 1),
        )
    detector = (MaskRCNN if settings.masks else FasterRCNN)(body, **options)
    detector.transform = _PreparedImages()
    return detector


def load_backbone_weights(detector: FasterRCNN, weights: dict[str, Tensor], source: str) -> int:
    """Load a backbone's weights into a detector; every tensor must come from them.

    Args:
        detector (FasterRCNN): A detector from ``build_detector``.
        weights (dict[str, Tensor]): The weights under torchvision's names; ``fc`` is ignored.
        source (str): The origin of the weights, for errors.

    Returns:
        int: The number of tensors loaded, which is all that the backbone has.

    Raises:
        ValueError: If some are missing, unexpected or of another shape.
    """
    body = detector.backbone.body
    expected = body.state_dict()
    found = {name: value for name, value in weights.items() if not name.startswith('fc.')}
    faults = [
        *(f'{name} is missing' for name in expected if name not in found),
        *(f'{name} is not part of the backbone' for name in found if name not in expected),
        *(
            f'{name} has shape {tuple(found[name].shape)} instead of {tuple(value.shape)}'
            for name, value in expected.items()
            if name in found and found[name].shape != value.shape
        ),
    ]
    if faults:
        raise ValueError(
            f'{source}: {len(faults)} weights do not fit the backbone: ' + '; '.join(faults[:3])
        )
    body.load_state_dict(found)
    for name, value in body.state_dict().items():
        if not torch.equal(value.cpu(), found[name].cpu().to(value.dtype)):
            raise AssertionError(f'{source}: {name} differs from the checkpoint after loading')
    return len(expected)


def to_own_size(result: dict[str, Tensor], shape: tuple, size: tuple) -> dict[str, Tensor]:
    """Convert a detector's result for an image to the original image's pixels.

    Args:
        result (dict[str, Tensor]): A result with ``boxes`` (N, 4) and optionally ``masks`` (N, 1,
            28, 28).
        shape (tuple): Height and width of the image that the detector saw.
        size (tuple): Height and width of the original image.

    Returns:
        dict[str, Tensor]: The result with scaled boxes, and boolean masks (N, H, W).
    """
    scale = result['boxes'].new_tensor([size[1] / shape[1], size[0] / shape[0]]).repeat(2)
    result = {**result, 'boxes': result['boxes'] * scale}
    if 'masks' in result:
        pasted = paste_masks_in_image(result['masks'].float(), result['boxes'].float(), size)
        result['masks'] = pasted[:, 0] >= 0.5
    return result


def backbone_features(detector: FasterRCNN, images: list[Tensor]) -> dict[str, Tensor]:
    """Run only the input step and the backbone; batch-norm statistics need no more.

    Args:
        detector (FasterRCNN): A detector from ``build_detector``.
        images (list[Tensor]): Float (3, H, W) RGB in [0, 1].

    Returns:
        dict[str, Tensor]: The feature maps of the five levels.
    """
    prepared: ImageList = detector.transform(images)[0]
    return detector.backbone(prepared.tensors)
