"""InfoMin's RandAugment: mmpretrain's operations with our ranges against Pillow's.

The formulas of the arguments are those of 'rand-n2-m10-mstd0.5' in the PyContrast repository; the
levels are what a normal distribution of mean 10 and deviation 0.5, cut off at 10, can give.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import TRANSFORMS
from PIL import Image, ImageEnhance, ImageOps

CONFIG = Path(__file__).parents[2] / 'configs/_base_/views/infomin.py'
FILL = (124, 116, 104)  # the mean color, RGB
LEVELS = (10, 9.6, 8.3)


def affine(img: Image.Image, *matrix: float) -> Image.Image:
    return img.transform(img.size, Image.AFFINE, matrix, Image.BICUBIC, fillcolor=FILL)


def enhance(kind: type):
    return lambda img, level: kind(img).enhance(level / 10 * 1.8 + 0.1)


def solarize_add(img: Image.Image, level: float) -> Image.Image:
    add = int(level / 10 * 110)
    return img.point([min(255, i + add) if i < 128 else i for i in range(256)] * 3)


# In the order of the config. Signs are drawn at random in both: here those that make them agree.
PILLOW = [
    ('AutoContrast', lambda img, level: ImageOps.autocontrast(img)),
    ('Equalize', lambda img, level: ImageOps.equalize(img)),
    ('Invert', lambda img, level: ImageOps.invert(img)),
    (
        'Rotate',
        lambda img, level: img.rotate(-level / 10 * 30, Image.BICUBIC, fillcolor=FILL),
    ),
    ('Posterize', lambda img, level: ImageOps.posterize(img, int(level / 10 * 4))),
    ('Solarize', lambda img, level: ImageOps.solarize(img, int(level / 10 * 256))),
    ('SolarizeAdd', solarize_add),
    ('ColorTransform', enhance(ImageEnhance.Color)),
    ('Contrast', enhance(ImageEnhance.Contrast)),
    ('Brightness', enhance(ImageEnhance.Brightness)),
    ('Sharpness', enhance(ImageEnhance.Sharpness)),
    ('Shear', lambda img, level: affine(img, 1, -level / 10 * 0.3, 0, 0, 1, 0)),
    ('Shear', lambda img, level: affine(img, 1, 0, 0, -level / 10 * 0.3, 1, 0)),
    ('Translate', lambda img, level: affine(img, 1, 0, -level / 10 * 0.45 * img.width, 0, 1, 0)),
    ('Translate', lambda img, level: affine(img, 1, 0, 0, 0, 1, -level / 10 * 0.45 * img.height)),
]
GEOMETRIC = ('Rotate', 'Shear', 'Translate')


@pytest.fixture(scope='module')
def rand_augment() -> dict:
    (group, _) = Config.fromfile(CONFIG).train_pipeline[1].transforms
    return next(transform for transform in group if transform.type == 'RandAugment')


def test_recipe():
    """Augmentation 'D' of the repository in its order, and its jigsaw."""
    view = Config.fromfile(CONFIG).train_pipeline[1]
    assert (view.type, view.num_views) == ('JointView', [2, 1])
    pair, jigsaw = ([dict(transform) for transform in group] for group in view.transforms)
    jitter = dict(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, prob=0.8)
    assert pair.pop(4)['type'] == 'RandAugment'
    assert pair == [
        dict(type='JointCrop', scale=224, crop_ratio_range=(0.2, 1.0), beta=None),
        dict(type='HorizontalFlip', prob=0.5),
        dict(type='JointColor', **jitter, beta=None),
        dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=0.5, beta=None),
        dict(type='ToGray', prob=0.2),
    ]
    assert jigsaw == [
        dict(type='RandomResizedCrop', scale=255, crop_ratio_range=(0.6, 1.0), backend='pillow'),
        dict(type='HorizontalFlip', prob=0.5),
        dict(type='JigsawPatches', grid=3, size=64),
    ]


def test_policy(rand_augment):
    assert [policy.type for policy in rand_augment.policies] == [name for name, _ in PILLOW]
    numbers = (rand_augment.num_policies, rand_augment.magnitude_level, rand_augment.magnitude_std)
    assert numbers == (2, 10, 0.5)
    init_default_scope('mmpretrain')
    built = TRANSFORMS.build(rand_augment)
    for transform, policy in zip(built, built.policies, strict=True):
        assert transform.prob == 0.5
        if 'magnitude_range' in policy:
            assert (transform.magnitude_std, transform.total_level) == (0.5, 10)
        if policy['type'] in GEOMETRIC:
            assert transform.random_negative_prob == 0.5
            assert (tuple(transform.pad_val), transform.interpolation) == (FILL[::-1], 'bicubic')


@pytest.mark.parametrize('place', range(len(PILLOW)), ids=lambda i: f'{i}-{PILLOW[i][0]}')
def test_operation_is_pillows(rand_augment, images, place):
    name, want_of = PILLOW[place]
    init_default_scope('mmpretrain')
    config = dict(rand_augment.policies[place], prob=1.0)
    if name in GEOMETRIC:
        config |= dict(random_negative_prob=0.0, **rand_augment.hparams)
    levels = LEVELS if 'magnitude_range' in config else LEVELS[:1]
    for level in levels:
        if len(levels) > 1:
            config |= dict(magnitude_level=level)
        operation = TRANSFORMS.build(config)
        for img in images[:4]:
            img = np.ascontiguousarray(img[:180, :160])
            img = cv2.GaussianBlur(img, (0, 0), 2) if name in GEOMETRIC else img
            got = operation(dict(img=img.copy()))['img'].astype(int)
            source = Image.fromarray(img[..., ::-1])
            error, other = (
                np.abs(got - np.asarray(want_of(source, number))[..., ::-1])
                for number in (level, level - 1)
            )
            if name == 'Sharpness':  # Pillow leaves the outermost pixels as they are
                error = error[1:-1, 1:-1]
            if name in GEOMETRIC:  # another cubic kernel, and half a pixel at the border
                assert error.mean() < min(1.0, other.mean() / 2)
            else:
                assert np.quantile(error, 0.99) <= 1
