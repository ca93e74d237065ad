# Views of the ContrastiveCrop repository for small images (arXiv 2202.03278): no blur. The size
# is that of Tiny-ImageNet; data sets of another size set their own.
views = dict(
    crop=dict(type='JointCrop', scale=64, crop_ratio_range=(0.2, 1.0), beta=None),
    flip=dict(type='HorizontalFlip', prob=0.5),
    color=dict(
        type='JointColor',
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.1,
        prob=0.8,
        beta=None,
    ),
    gray=dict(type='ToGray', prob=0.2),
)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=2, transforms=[list(views.values())]),
    dict(type='PackInputs'),
]
