"""ContrastiveCrop's semantic boxes, from the heat maps of the model that is being trained."""

import copy

import torch
import torch.nn.functional as F
from mmcv.transforms import Compose
from mmengine.dataset import BaseDataset, default_collate
from mmengine.dist import all_reduce, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpretrain.registry import TRANSFORMS
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..transforms import JointView, LoadSemanticBox
from ..utils.models import unwrapped

_KEY = 'semantic_boxes'


def heat_maps(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Turn feature maps into heat maps of their images.

    The channels are summed, the sum is stretched to [0, 1] and then enlarged bilinearly. Source:
    ContrastiveCrop (arXiv 2202.03278), section 3.2, and its repository.

    Args:
        features (Tensor): The backbone's last feature maps, of shape (N, C, h, w).
        size (tuple[int, int]): (height, width) of the images in pixels.

    Returns:
        Tensor: Heat maps of shape (N, height, width), in [0, 1]; 1 everywhere if a map is constant.
    """
    maps = features.float().sum(1, keepdim=True)
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    maps = torch.where(high > low, (maps - low) / (high - low), torch.ones_like(maps))
    return F.interpolate(maps, size, mode='bilinear', align_corners=False)[:, 0]


def bounding_boxes(maps: Tensor, threshold: float) -> Tensor:
    """Find the smallest boxes that contain everything above a threshold.

    Args:
        maps (Tensor): Heat maps of shape (N, height, width), each with a value above the threshold.
        threshold (float): The threshold, in [0, 1).

    Returns:
        Tensor: Boxes, float of shape (N, 4): the outer edges x0, y0, x1, y1 as fractions of width
            and height. (The authors' code takes the near edge of the last pixel for x1 and y1.)
    """
    above = maps > threshold
    edges = {}
    for axis, present in (('x', above.any(1)), ('y', above.any(2))):
        length = present.shape[1]
        # argmax returns the first of equal values.
        edges[axis, 0] = present.int().argmax(1) / length
        edges[axis, 1] = 1 - present.flip(1).int().argmax(1) / length
    return torch.stack([edges['x', 0], edges['y', 0], edges['x', 1], edges['y', 1]], dim=1)


@HOOKS.register_module()
class ContrastiveCropHook(Hook):
    """Give ``JointCrop(position='semantic')`` its boxes: the localization of ContrastiveCrop.

    After ``warm_up`` epochs and then every ``interval`` epochs, the backbone in evaluation mode
    sees every training image once, whole and resized to ``scale`` whatever its shape. The box of an
    image encloses its heat map above ``threshold`` (:func:`heat_maps`, :func:`bounding_boxes`).
    Until then images have no box and crops are uniform, as in the authors' code. The processes
    share the work; each holds all boxes in memory that the workers of its data loader see too,
    persistent or not. Checkpoints contain the boxes as ``semantic_boxes``, and a resumed run
    continues with them.

    The pipeline of the training set must hold ``LoadSemanticBox`` before ``JointView``, and only
    loading transforms before that. Source: ContrastiveCrop (arXiv 2202.03278), algorithm 1. Its
    repository uses 20 for both numbers of epochs with 100 epochs on ImageNet, 100 for both with 500
    epochs on small images, and a threshold of 0.1.

    Args:
        warm_up (int): Number of epochs before the first boxes. Defaults to 20.
        interval (int): Number of epochs between two refreshes; as in the authors' code, the boxes
            are made after epochs that are multiples of ``interval``. Defaults to 20.
        threshold (float): Threshold of the heat maps, in [0, 1). Defaults to 0.1.
        scale (int | tuple[int, int]): Size to which whole images are resized, in pixels: an int or
            (width, height). Defaults to 224.
        batch_size (int, optional): Images per process and batch. Defaults to None, the training
            loader's batch size.
        num_workers (int, optional): Number of workers that load the whole images. Defaults to None,
            the training loader's number.

    Raises:
        ValueError: An argument is not in the range given above. At the start of the run: its loop
            is not by epoch, its data set is wrapped or has no ``LoadSemanticBox``, its backbone
            returns no maps, or the checkpoint has boxes for another number of images.

    Examples:
        >>> custom_hooks = [dict(type='ContrastiveCropHook', warm_up=20, interval=20, scale=224)]
    """

    # Runs before the hook that saves (VERY_LOW): a checkpoint holds the boxes of its own epoch.
    priority = 'NORMAL'

    def __init__(
        self,
        warm_up: int = 20,
        interval: int = 20,
        threshold: float = 0.1,
        scale: int | tuple[int, int] = 224,
        batch_size: int | None = None,
        num_workers: int | None = None,
    ) -> None:
        sizes = [scale, scale] if isinstance(scale, int) else list(scale)
        integers: dict[str, tuple[int | None, int]] = dict(
            warm_up=(warm_up, 0), interval=(interval, 1)
        )
        integers |= dict(batch_size=(batch_size, 1), num_workers=(num_workers, 0))
        for name, (value, least) in integers.items():
            if value is None and name in ('batch_size', 'num_workers'):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(
                    f'ContrastiveCropHook: {name} must be an integer of at least {least}, got '
                    f'{value!r}'
                )
        if len(sizes) != 2 or any(not isinstance(size, int) or size < 1 for size in sizes):
            raise ValueError(
                f'ContrastiveCropHook: scale must be a positive int or (width, height), got '
                f'{scale!r}'
            )
        if not 0 <= threshold < 1:
            raise ValueError(f'ContrastiveCropHook: threshold must be in [0, 1), got {threshold!r}')
        self.warm_up = warm_up
        self.interval = interval
        self.threshold = threshold
        self.scale = tuple(sizes)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.boxes: Tensor | None = None
        self._loaded: Tensor | None = None

    def before_train(self, runner: Runner) -> None:
        """Share the boxes with the pipeline, and check early that they can be made."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(
                'ContrastiveCropHook needs train_cfg=dict(by_epoch=True, ...): its boxes change '
                'between epochs'
            )
        dataset = runner.train_dataloader.dataset
        loader, _ = _split_pipeline(dataset)
        boxes = torch.full((len(dataset), 4), float('nan')).share_memory_()
        self.boxes = boxes
        loader.connect(boxes)
        self._find(runner, range(1), num_workers=0)
        if self._refreshes(runner.max_epochs - 1) == 0:
            runner.logger.warning(
                f'ContrastiveCropHook: the run ends after {runner.max_epochs} epochs, before it '
                f'has boxes (warm_up={self.warm_up}, interval={self.interval})'
            )
        if self._refreshes(runner.epoch) and self._loaded is None:
            runner.logger.warning(
                f'ContrastiveCropHook: no boxes in the checkpoint of epoch {runner.epoch}'
            )
            self._refresh(runner)
        elif self._refreshes(runner.epoch) and self._loaded is not None:
            if self._loaded.shape != boxes.shape:
                raise ValueError(
                    f'ContrastiveCropHook: the checkpoint has boxes of {len(self._loaded)} images '
                    f'and the training set {len(boxes)} images: resume with the data set that '
                    'the run was started with'
                )
            boxes.copy_(self._loaded)

    def after_train_epoch(self, runner: Runner) -> None:
        """Refresh the boxes when it is time."""
        epoch = runner.epoch + 1
        if epoch < runner.max_epochs and self._refreshes(epoch) > self._refreshes(epoch - 1):
            self._refresh(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the boxes if there are any yet."""
        if self.boxes is not None and not self.boxes.isnan().all():
            checkpoint[_KEY] = self.boxes.clone()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the checkpoint's boxes for a resumed run."""
        if _KEY in checkpoint:
            boxes = checkpoint[_KEY]
            # NaN marks the box of a photo that could not be read.
            if (
                not isinstance(boxes, Tensor)
                or boxes.dtype != torch.float32
                or boxes.shape[1:] != (4,)
                or ((boxes < 0) | (boxes > 1)).any()
            ):
                raise ValueError(f'ContrastiveCropHook: {_KEY} of the checkpoint are not boxes')
            self._loaded = boxes.cpu()

    def _refreshes(self, epoch: int) -> int:
        """Count the refreshes until the end of an epoch."""
        first = -(-max(self.warm_up, 1) // self.interval)
        return max(0, epoch // self.interval - first + 1)

    def _refresh(self, runner: Runner) -> None:
        """Make the boxes of all images; each process makes those of its share."""
        assert self.boxes is not None  # since the run began
        share = range(get_rank(), len(self.boxes), get_world_size())
        boxes = self._find(runner, share, self.num_workers)
        all_reduce(boxes)
        self.boxes.copy_(boxes)
        area = (boxes[:, 2:] - boxes[:, :2]).prod(1).nanmean().item()
        runner.logger.info(
            f'ContrastiveCropHook: boxes of {len(boxes)} images, {100 * area:.1f} % of the image '
            'on average'
        )

    @torch.no_grad()
    def _find(self, runner: Runner, share: range, num_workers: int | None) -> Tensor:
        """Make the boxes of some images.

        Returns:
            Tensor: Boxes of shape (number of all images, 4); zeros for images outside the share,
                NaN for those that cannot be read.
        """
        train_loader = runner.train_dataloader
        width, height = self.scale
        resize = TRANSFORMS.build(dict(type='Resize', scale=(width, height), backend='pillow'))
        pack = TRANSFORMS.build(dict(type='PackInputs'))
        dataset = copy.copy(train_loader.dataset)  # shares the list of images
        dataset.pipeline = Compose([*_split_pipeline(dataset)[1], resize, pack])
        loader = DataLoader(
            dataset,
            batch_size=self.batch_size or train_loader.batch_size,
            sampler=share,
            num_workers=train_loader.num_workers if num_workers is None else num_workers,
            collate_fn=default_collate,
            pin_memory=train_loader.pin_memory,
        )
        model = unwrapped(runner.model)
        modes = {module: module.training for module in model.backbone.modules()}
        model.backbone.eval()
        boxes = torch.zeros(len(dataset), 4)
        boxes[list(share)] = float('nan')
        try:
            for batch in loader:
                features = _last_maps(model.backbone, model.data_preprocessor(batch)['inputs'])
                found = bounding_boxes(heat_maps(features, (height, width)), self.threshold)
                for sample, box in zip(batch['data_samples'], found.cpu(), strict=True):
                    # A broken file is replaced by another image, which may belong to another share.
                    if sample.sample_idx in share:
                        boxes[sample.sample_idx] = box
        finally:
            for module, training in modes.items():
                module.training = training
        return boxes


def _split_pipeline(dataset: BaseDataset) -> tuple[LoadSemanticBox, list]:
    """Return a training set's ``LoadSemanticBox`` and the transforms before it."""
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', None)
    if not isinstance(dataset, BaseDataset) or transforms is None:
        raise ValueError(
            'ContrastiveCropHook needs a data set with a pipeline and a numbering of its own, not '
            f'a {type(dataset).__name__}'
        )
    kinds = [type(transform) for transform in transforms]
    places = [place for place, kind in enumerate(kinds) if kind is LoadSemanticBox]
    if len(places) != 1 or JointView not in kinds[places[0] :]:
        raise ValueError(
            "ContrastiveCropHook needs one dict(type='LoadSemanticBox') before JointView in "
            f'train_dataloader.dataset.pipeline, got {[kind.__name__ for kind in kinds]}'
        )
    return transforms[places[0]], transforms[: places[0]]


def _last_maps(backbone: nn.Module, inputs: Tensor) -> Tensor:
    """Compute the backbone's last output, which must be maps."""
    output = backbone(inputs)
    output = output[-1] if isinstance(output, (tuple, list)) else output
    if output.ndim != 4:
        raise ValueError(
            f"ContrastiveCropHook: {type(backbone).__name__}'s last output has shape "
            f'{tuple(output.shape)}; a heat map needs feature maps (N, C, H, W)'
        )
    return output
