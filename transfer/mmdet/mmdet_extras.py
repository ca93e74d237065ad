"""What mmdet lacks for MoCo's detection transfer; the configs import it, which registers it.

The region head with the extra norm, ``ResLayerExtraNorm``, is mmpretrain's.
"""

from collections.abc import Iterator
from itertools import islice

import torch
from mmdet.registry import HOOKS
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from mmjoint.checkpoints import CheckpointError, read_checkpoint
from mmjoint.checkpoints.fitting import describe_faults, state_dict_of


@HOOKS.register_module()
class LoadBackboneHook(Hook):
    """Put a pretrained backbone into a detector and check that all of it arrived.

    A C4 detector keeps layer4 in ``roi_head.shared_head``; mmdet's ``init_cfg`` would leave it, or
    everything whose prefix does not fit, at its random start with a log line.

    Args:
        checkpoint (str): A file that ``transfer/convert.py --to mmdet`` wrote.

    Raises:
        CheckpointError: A weight of the detector's backbone is not in the file, one of the file is
            not in the detector, or a shape differs; the message names them.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint

    def before_train(self, runner: Runner) -> None:
        """Load, unless the run is one that goes on from its own checkpoint."""
        if runner.iter > 0:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        count = load_backbone(model, self.checkpoint)
        print_log(f'all {count} tensors of the backbone are those of {self.checkpoint}', 'current')


def load_backbone(model: nn.Module, path: str) -> int:
    """Copy a converted backbone into a detector, stem to layer4.

    Args:
        model (nn.Module): An mmdet two-stage detector, C4 or FPN.
        path (str): See ``LoadBackboneHook``.

    Returns:
        int: How many tensors were copied and compared.

    Raises:
        CheckpointError: See ``LoadBackboneHook``; the model is unchanged then.
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
    # Read anew: what counts is what the detector holds.
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


@HOOKS.register_module()
class FinalPreciseBNHook(Hook):
    """Estimate the norms' statistics anew for the final weights (detectron2's ``PRECISE_BN``).

    mmpretrain's ``PreciseBNHook`` cannot stand in: it runs a detector without its targets, so that
    the region head's norms would see other regions than in training.

    Args:
        num_iters (int): Training batches to average over. Defaults to 200, detectron2's.
    """

    def __init__(self, num_iters: int = 200) -> None:
        self.num_iters = num_iters

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        """Do it after the last iteration, before the checkpoint is saved."""
        if runner.iter + 1 < runner.max_iters:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
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
