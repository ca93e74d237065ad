# Views of SwAV (arXiv 2006.09882, the order of its repository): two of 224 px and six of 96 px.
global_views = [
    dict(type='JointCrop', scale=224, crop_ratio_range=(0.14, 1.0), beta=None),
    dict(type='HorizontalFlip', prob=0.5),
    dict(
        type='JointColor',
        brightness=0.8,
        contrast=0.8,
        saturation=0.8,
        hue=0.2,
        prob=0.8,
        beta=None,
    ),
    dict(type='ToGray', prob=0.2),
    dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=0.5, beta=None),
]
local_views = [
    dict(type='JointCrop', scale=96, crop_ratio_range=(0.05, 0.14), beta=None),
    *global_views[1:],
]
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=[2, 6], transforms=[global_views, local_views]),
    dict(type='PackInputs'),
]
del global_views, local_views
