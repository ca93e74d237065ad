"""Data sets: readers that mmpretrain lacks, and the embedded one."""

from .image_folder import ImageFolder
from .imagenet_subset import ImageNetSubset
from .scenes import make_scenes
from .shard_writer import write_shards
from .shards import WebDatasetShards
from .stl10 import STL10
from .tiny_imagenet import TinyImageNet

__all__ = [
    'STL10',
    'ImageFolder',
    'ImageNetSubset',
    'TinyImageNet',
    'WebDatasetShards',
    'make_scenes',
    'write_shards',
]
