"""Models, and ways to initialise them, that mmpretrain lacks."""

from .pretrained import StrictPretrained
from .simclr import DistributedSimCLR

__all__ = ['DistributedSimCLR', 'StrictPretrained']
