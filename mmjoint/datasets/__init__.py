"""Data sets: readers that mmpretrain lacks, and the embedded data set."""

from .image_folder import ImageFolder, ImageNet1K
from .imagenet_subset import ImageNetSubset
from .listing import class_folders, list_images
from .scenes import make_scenes
from .shard_writer import write_shards
from .shards import WebDatasetShards
from .stl10 import STL10
from .tiny_imagenet import TinyImageNet

__all__ = [
    'STL10',
    'ImageFolder',
    'ImageNet1K',
    'ImageNetSubset',
    'TinyImageNet',
    'WebDatasetShards',
    'class_folders',
    'list_images',
    'make_scenes',
    'write_shards',
]
