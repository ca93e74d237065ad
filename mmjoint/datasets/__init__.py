"""Data sets: readers that mmpretrain lacks, and the embedded one."""

from .image_folder import ImageFolder
from .imagenet_subset import ImageNetSubset
from .scenes import make_scenes
from .stl10 import STL10
from .tiny_imagenet import TinyImageNet

__all__ = ['STL10', 'ImageFolder', 'ImageNetSubset', 'TinyImageNet', 'make_scenes']
