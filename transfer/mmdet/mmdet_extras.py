"""Parts that mmdet lacks for MoCo's detection transfer; importing this file registers them.

The configs import it. The region head with the extra norm, ``ResLayerExtraNorm``, is mmpretrain's.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import mmcv_ops  # noqa: F401  # before mmdet, which imports all of mmcv.ops
import numpy as np
import torch
from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.registry import DATASETS, HOOKS, METRICS
from mmengine.dist import all_reduce, get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from pycocotools import mask as rle
from torch import Tensor, nn

from mmjoint.checkpoints import CheckpointError, read_checkpoint
from mmjoint.checkpoints.fitting import describe_faults, state_dict_of
from mmjoint.detection.metric import evaluate, evaluate_voc, write_predictions
from mmjoint.detection.packed import read_packed
from mmjoint.detection.sources import read_written
from mmjoint.utils.models import unwrapped


@HOOKS.register_module()
class LoadBackboneHook(Hook):
    """Load a pretrained backbone into a detector and check that all of it arrived.

    A C4 detector has layer4 in ``roi_head.shared_head``. With mmdet's ``init_cfg`` it, or every
    weight whose prefix does not fit, would keep its random initialization with only a line in the
    log.

    Args:
        checkpoint (str): A file that ``transfer/convert.py --to mmdet`` wrote.

    Raises:
        CheckpointError: A weight of the detector's backbone is not in the file, a weight of the
            file is not in the detector, or a shape differs; the message names them.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint

    def before_train(self, runner: Runner) -> None:
        """Load the backbone, unless the run continues from its own checkpoint."""
        if runner.iter > 0:
            return
        model = unwrapped(runner.model)
        count = load_backbone(model, self.checkpoint)
        print_log(f'all {count} tensors of the backbone are those of {self.checkpoint}', 'current')


def load_backbone(model: nn.Module, path: str) -> int:
    """Copy a converted backbone into a detector, stem to layer4.

    Args:
        model (nn.Module): An mmdet two-stage detector, C4 or FPN.
        path (str): A file as documented in ``LoadBackboneHook``.

    Returns:
        int: The number of tensors that were copied and compared.

    Raises:
        CheckpointError: As documented in ``LoadBackboneHook``; the model is then unchanged.
    """
    checkpoint = read_checkpoint(path)
    weights = state_dict_of(checkpoint, path)
    targets = dict(_backbone_tensors(model))
    if faults := describe_faults(weights, targets):
        raise CheckpointError(
            f'{path}: its weights do not fit the backbone of this detector: {faults}'
        )
    with torch.no_grad():
        for name, target in targets.items():
            target.copy_(weights[name])
    # Read the model again: only what the detector now holds counts.
    wrong = [
        name
        for name, value in _backbone_tensors(model)
        if not torch.equal(value.cpu(), weights[name].to(value.dtype))
    ]
    if wrong:
        raise CheckpointError(f'{path}: {", ".join(wrong[:3])} did not arrive in the detector')
    return len(targets)


def _backbone_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the backbone's tensors under the names that a converted file has."""
    parts = [model.backbone]
    if model.roi_head.with_shared_head:
        parts.append(model.roi_head.shared_head.layer4)
    for part, prefix in zip(parts, ('backbone.', 'backbone.layer4.'), strict=False):
        for name, value in part.state_dict(keep_vars=True).items():
            yield prefix + name, value


@DATASETS.register_module()
class WrittenSet(CocoDataset):
    """A set that ``mmjoint.detection.sources`` has checked and written; ``ann_file`` names it."""

    @staticmethod
    def COCOAPI(path: str) -> COCO:  # mmdet's name
        """Return the set in the form in which mmdet reads annotations."""
        coco = COCO()
        coco.dataset = read_packed(path)
        coco.createIndex()
        # As mmdet's class does, but only where it reads the file itself.
        coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs
        return coco


@METRICS.register_module()
class WrittenSetMetric(BaseMetric):
    """The metric of all engines: COCO's metric, or VOC2007's with 11 recall points.

    Args:
        folder (str): Folder with ``test.npz``, as ``mmjoint.detection.sources`` writes it.
        out (str): Folder for ``predictions.json``, the detections.
    """

    default_prefix = 'detection'

    def __init__(self, folder: str, out: str) -> None:
        super().__init__(collect_device='cpu')
        self.coco = read_written(folder, 'test')
        self.out = out
        self.outcome: dict = {}

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Store the detections of some images."""
        for sample in data_samples:
            items = []
            found = sample['pred_instances']
            masks = found.get('masks')
            for index, label in enumerate(found['labels'].tolist()):
                left, top, right, bottom = found['bboxes'][index].tolist()
                item = dict(
                    image_id=sample['img_id'],
                    category_id=self.coco['categories'][label]['id'],
                    bbox=[left, top, right - left, bottom - top],
                    score=float(found['scores'][index]),
                )
                if masks is not None:
                    item['segmentation'] = _encoded(masks, index)
                items.append(item)
            # mmengine keeps as many results as there are images.
            self.results.append(items)

    def compute_metrics(self, results: list[list[dict]]) -> dict[str, float]:
        """Return AP, AP50 and AP75 in percent; ``outcome`` also has those of each class."""
        results = [item for items in results for item in items]
        write_predictions(Path(self.out, 'predictions.json'), self.coco, results)
        if self.coco['info']['form'] == 'voc':
            metrics, per_class = evaluate_voc(self.coco, results)
        else:
            metrics, per_class = evaluate(self.coco, results, self.coco['info']['masks'])
        self.outcome = dict(metrics, per_class=per_class)
        return {
            f'{kind}_{name}': value
            for kind, values in metrics.items()
            for name, value in values.items()
        }


def _encoded(masks: object, index: int) -> dict:
    """Return a mask as RLE; the detector returns RLE or a boolean array."""
    if isinstance(masks, list):
        return masks[index]
    return rle.encode(np.asfortranarray(masks[index].cpu().numpy(), dtype=np.uint8))


@HOOKS.register_module()
class FinalPreciseBNHook(Hook):
    """Estimate the norms' statistics again for the final weights (detectron2's ``PRECISE_BN``).

    mmpretrain's ``PreciseBNHook`` does not work here: it runs a detector without its targets, so
    the norms of the region head would see other regions than in training.

    Args:
        num_iters (int): Number of training batches to average over. Defaults to 200, as in
            detectron2.
    """

    def __init__(self, num_iters: int = 200) -> None:
        self.num_iters = num_iters

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        """Estimate them after the last iteration, before the checkpoint is saved."""
        if runner.iter + 1 < runner.max_iters:
            return
        model = unwrapped(runner.model)
        norms = [
            module
            for module in model.modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
        ]
        momenta = [norm.momentum for norm in norms]
        sums = [[torch.zeros_like(norm.running_mean) for norm in norms] for _ in range(2)]
        for norm in norms:
            norm.momentum = 1.0  # the running statistics become those of the last batch
        with torch.no_grad():
            for data in islice(iter(runner.train_dataloader), self.num_iters):
                model(**model.data_preprocessor(data, training=True), mode='loss')
                for norm, mean, var in zip(norms, *sums, strict=True):
                    mean += norm.running_mean
                    var += norm.running_var
        count = self.num_iters * get_world_size()
        for norm, momentum, mean, var in zip(norms, momenta, *sums, strict=True):
            for running, total in ((norm.running_mean, mean), (norm.running_var, var)):
                all_reduce(total)
                running.copy_(total / count)
            norm.momentum = momentum
        print_log(f'{len(norms)} norms estimated over {count} batches', 'current')
