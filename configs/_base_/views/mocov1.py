# Views of MoCo v1 (arXiv 1911.05722, the order of its repository) at 224 px: no blur.
views = dict(
    crop=dict(type='JointCrop', scale=224, crop_ratio_range=(0.2, 1.0), beta=None),
    gray=dict(type='ToGray', prob=0.2),
    color=dict(
        type='JointColor',
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.4,
        prob=1.0,
        beta=None,
    ),
    flip=dict(type='HorizontalFlip', prob=0.5),
)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=2, transforms=[list(views.values())]),
    dict(type='PackInputs'),
]
