"""Checkpoints: reading them safely, and one key map between mm, detectron2, torchvision and timm.

It needs only PyTorch: an environment that converts checkpoints may have no mm stack.
"""

from .backbones import load_backbone
from .conversion import TARGETS, backbone_weights, convert, read_provenance
from .key_maps import BLOCKS, resnet_keys
from .reading import CheckpointError, file_sha256, read_checkpoint

__all__ = [
    'BLOCKS',
    'TARGETS',
    'CheckpointError',
    'backbone_weights',
    'convert',
    'file_sha256',
    'load_backbone',
    'read_checkpoint',
    'read_provenance',
    'resnet_keys',
]
