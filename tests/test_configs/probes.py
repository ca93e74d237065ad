"""What the configs of linear probes and of data sets must say, from the papers and repositories."""

from .recipes import IMAGENET_MEAN, IMAGENET_STD, IN100, STL_MEAN, STL_STD, TINY_MEAN, TINY_STD

MOCO_PROBE = dict(
    data_set='imagenet',
    batch=256,
    epochs=100,
    optimizer=dict(type='SGD', lr=30.0, momentum=0.9, weight_decay=0.0),
    steps=[60, 80],
    size=224,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    backbone='ResNet',
    depth=50,
    head=(2048, 1000),
)
SMALL_PROBE = dict(
    MOCO_PROBE,
    data_set='tiny-imagenet',
    batch=512,
    optimizer=dict(MOCO_PROBE['optimizer'], lr=10.0),
    size=64,
    mean=TINY_MEAN,
    std=TINY_STD,
    backbone='ResNet_CIFAR',
    depth=18,
    head=(512, 200),
)
PROBES = {
    'resnet50_8xb32-linear-steplr-100e_in1k': MOCO_PROBE,
    'resnet50_8xb512-linear-coslr-90e_in1k': dict(
        MOCO_PROBE,
        batch=4096,
        epochs=90,
        optimizer=dict(type='ForeachLARS', lr=1.6, momentum=0.9, weight_decay=0.0),
        steps=None,
    ),
    'resnet50_8xb128-linear-coslr-90e_in1k': dict(
        MOCO_PROBE,
        batch=1024,
        epochs=90,
        optimizer=dict(type='SGD', lr=0.4, momentum=0.9, weight_decay=0.0),
        steps=None,
    ),
    'resnet50_8xb128-linear-coslr-100e_in1k': dict(
        MOCO_PROBE,
        batch=1024,
        optimizer=dict(type='SGD', lr=0.3, momentum=0.9, weight_decay=0.0),
        steps=None,
        prefix='teacher.backbone.',
    ),
    'resnet50_8xb32-linear-steplr-100e_in100': {**MOCO_PROBE, **IN100, 'head': (2048, 100)},
    'resnet18_4xb128-linear-steplr-100e_tiny-imagenet': SMALL_PROBE,
    'resnet18_4xb128-linear-steplr-100e_stl10': dict(
        SMALL_PROBE, data_set='stl10', size=96, mean=STL_MEAN, std=STL_STD, head=(512, 10)
    ),
    'resnet50_1xb256-linear-steplr-100e_folder': {**MOCO_PROBE, 'data_set': 'labeled'},
    'resnet18_1xb256-linear-steplr-100e_folder': {
        **MOCO_PROBE,
        'data_set': 'labeled',
        'depth': 18,
        'head': (512, 1000),
    },
    'resnet18_1xb256-linear-steplr-20e_scenes': dict(
        SMALL_PROBE,
        data_set='scenes',
        batch=256,
        epochs=20,
        optimizer=dict(MOCO_PROBE['optimizer'], lr=5.0),
        steps=[12, 16],
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        backbone='ResNet',
        head=(512, 10),
    ),
}
# What each data set's training and kNN data are: type and the arguments that pick the images.
_IN100_TRAIN = dict(split='train', class_list='imagenet100')
_IN100_VAL = dict(split='val', class_list='imagenet100')
_LABELED = [dict(data_prefix=split, with_label=True) for split in ('train', 'train', 'val')]
DATA = {
    'imagenet100': ('ImageNetSubset', _IN100_TRAIN, _IN100_TRAIN, _IN100_VAL),
    # What is learnt on COCO is measured on ImageNet-100.
    'coco': ('ImageFolder', dict(data_prefix='train2017'), _IN100_TRAIN, _IN100_VAL),
    'imagenet': ('ImageNet1K', dict(split='train'), dict(split='train'), dict(split='val')),
    'tiny-imagenet': ('TinyImageNet', dict(split='train'), dict(split='train'), dict(split='val')),
    'stl10': ('STL10', dict(split='train+unlabeled'), dict(split='train'), dict(split='test')),
    'scenes': ('ImageFolder', *_LABELED),
    'labeled': ('ImageFolder', *_LABELED),
    'folder': ('ImageFolder', {}, None, None),
}
