"""Initialization from pretrained weights, which must fit exactly."""

from mmengine.model.weight_init import update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn

from ..checkpoints import load_backbone


@WEIGHT_INITIALIZERS.register_module()
class StrictPretrained:
    """Initialize a backbone from a checkpoint in which every weight must fit.

    mmengine's ``Pretrained`` only logs what does not fit and continues, so that with a wrong prefix
    or depth a probe measures random features.

    Args:
        checkpoint (str): The checkpoint file.
        prefix (str): The prefix of the backbone's keys in the file. Defaults to ``'backbone.'``.

    Raises:
        ValueError: If ``checkpoint`` is empty, or the weights do not fit (``CheckpointError``,
            which names the missing, unexpected and differently shaped ones).

    Examples:
        >>> model = dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18,
        ...     init_cfg=dict(type='StrictPretrained', checkpoint='epoch_100.pth')))
    """

    def __init__(self, checkpoint: str, prefix: str = 'backbone.') -> None:
        if not checkpoint:
            raise ValueError(
                'no checkpoint to take the backbone from: give one with '
                '--cfg-options model.backbone.init_cfg.checkpoint=CKPT'
            )
        self.checkpoint = checkpoint
        self.prefix = prefix

    def __call__(self, module: nn.Module) -> None:
        load_backbone(module, self.checkpoint, self.prefix)
        # mmpretrain's backbones overwrite the loaded weights unless init_cfg has exactly this type
        # (ResNet zeroes the last norm of each block, ViT draws its position embedding).
        loaded = dict(type='Pretrained', checkpoint=self.checkpoint, prefix=self.prefix)
        vars(module)['init_cfg'] = loaded
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=f'StrictPretrained: load from {self.checkpoint}')
