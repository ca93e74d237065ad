# Views of SwAV (arXiv 2006.09882, the order of its repository): two of 224 px and six of 96 px.
global_views = dict(
    crop=dict(type='JointCrop', scale=224, crop_ratio_range=(0.14, 1.0), beta=None),
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
    gray=dict(type='ToGray', prob=0.2),
    blur=dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=0.5, beta=None),
)
local_views = dict(
    crop=dict(type='JointCrop', scale=96, crop_ratio_range=(0.05, 0.14), beta=None),
    **{name: step for name, step in global_views.items() if name != 'crop'},
)
train_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='JointView',
        num_views=[2, 6],
        transforms=[list(global_views.values()), list(local_views.values())],
    ),
    dict(type='PackInputs'),
]
