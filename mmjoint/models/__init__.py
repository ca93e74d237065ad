"""Models, and ways of initializing them, that mmpretrain lacks."""

from .dino import DINO
from .dino_head import DINOHead, DINONeck
from .infomin import InfoMin, JigsawNeck
from .leoclr import LeOCLR
from .pretrained import StrictPretrained
from .simclr import DistributedSimCLR
from .swav import DistributedSwAVLoss

__all__ = [
    'DINO',
    'DINOHead',
    'DINONeck',
    'DistributedSimCLR',
    'DistributedSwAVLoss',
    'InfoMin',
    'JigsawNeck',
    'LeOCLR',
    'StrictPretrained',
]
