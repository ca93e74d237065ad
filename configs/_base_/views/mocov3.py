# Views of MoCo v3 (arXiv 2104.02057, the order of its repository) at 224 px; view 1 is always
# blurred; view 2 is blurred seldom and solarized sometimes.
views = dict(
    crop=dict(type='JointCrop', scale=224, crop_ratio_range=(0.2, 1.0), beta=None),
    color=dict(
        type='JointColor',
        brightness=0.4,
        contrast=0.4,
        saturation=0.2,
        hue=0.1,
        prob=0.8,
        beta=None,
    ),
    gray=dict(type='ToGray', prob=0.2),
    blur=dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=(1.0, 0.1), beta=None),
    solarize=dict(type='PerView', transforms=[[], [dict(type='Solarization', thr=128, prob=0.2)]]),
    flip=dict(type='HorizontalFlip', prob=0.5),
)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=2, transforms=[list(views.values())]),
    dict(type='PackInputs'),
]
