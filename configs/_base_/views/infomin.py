# Views of InfoMin, augmentation 'D' of the PyContrast repository, at 224 px, and the jigsaw of its
# third view. RandAugment is the repository's 'rand-n2-m10-mstd0.5': 15 operations with its ranges,
# which are not those of mmpretrain's 'timm_increasing'. What differs: geometric operations
# interpolate bicubically, where it takes bilinear or bicubic at random.
# Its whole numbers (bits kept, threshold) are cut off; mmpretrain rounds bits up and compares with
# the fraction. A shift of just under 1 makes up for both.
shift = 1 - 1e-6
rand_augment = dict(
    type='RandAugment',
    num_policies=2,
    magnitude_level=10,
    magnitude_std=0.5,
    hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic'),  # BGR
    policies=[
        dict(type='AutoContrast'),
        dict(type='Equalize'),
        dict(type='Invert'),
        dict(type='Rotate', magnitude_range=(0, 30)),
        dict(type='Posterize', magnitude_range=(-shift, 4 - shift)),
        dict(type='Solarize', magnitude_range=(-shift, 256 - shift)),
        dict(type='SolarizeAdd', magnitude_range=(0, 110)),
        # Factors of 0.1 to 1.9.
        dict(type='ColorTransform', magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
        dict(type='Contrast', magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
        dict(type='Brightness', magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
        dict(type='Sharpness', magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
        dict(type='Shear', magnitude_range=(0, 0.3), direction='horizontal'),
        dict(type='Shear', magnitude_range=(0, 0.3), direction='vertical'),
        dict(type='Translate', magnitude_range=(0, 0.45), direction='horizontal'),
        dict(type='Translate', magnitude_range=(0, 0.45), direction='vertical'),
    ],
)
pair_views = dict(
    crop=dict(type='JointCrop', scale=224, crop_ratio_range=(0.2, 1.0), beta=None),
    flip=dict(type='HorizontalFlip', prob=0.5),
    color=dict(
        type='JointColor',
        brightness=0.8,
        contrast=0.8,
        saturation=0.8,
        hue=0.2,
        prob=0.8,
        beta=None,
    ),
    blur=dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=0.5, beta=None),
    rand_augment=rand_augment,
    gray=dict(type='ToGray', prob=0.2),
)
jigsaw_view = dict(
    crop=dict(type='RandomResizedCrop', scale=255, crop_ratio_range=(0.6, 1.0), backend='pillow'),
    flip=dict(type='HorizontalFlip', prob=0.5),
    jigsaw=dict(type='JigsawPatches', grid=3, size=64),
)
train_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='JointView',
        num_views=[2, 1],
        transforms=[list(pair_views.values()), list(jigsaw_view.values())],
    ),
    dict(type='PackInputs'),
]
del shift, rand_augment
