# Views of SimCLR (arXiv 2002.05709, appendix A) at 224 px.
views = dict(
    crop=dict(type='JointCrop', scale=224, crop_ratio_range=(0.08, 1.0), beta=None),
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
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=2, transforms=[list(views.values())]),
    dict(type='PackInputs'),
]
