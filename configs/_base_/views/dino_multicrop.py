# Views of DINO (arXiv 2104.14294, the order of its repository) with the multi-crop of arXiv
# 2412.16522, appendix D: two global views of 160 px and four local ones of 96 px. The first global
# view is always blurred; the second is blurred seldom and solarized sometimes.
global_views = dict(
    crop=dict(
        type='JointCrop',
        scale=160,
        crop_ratio_range=(0.4, 1.0),
        interpolation='bicubic',
        beta=None,
    ),
    flip=dict(type='HorizontalFlip', prob=0.5),
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
)
local_views = dict(
    crop=dict(
        type='JointCrop',
        scale=96,
        crop_ratio_range=(0.05, 0.4),
        interpolation='bicubic',
        beta=None,
    ),
    flip=global_views['flip'],
    color=global_views['color'],
    gray=global_views['gray'],
    blur=dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=0.5, beta=None),
)
train_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='JointView',
        num_views=[2, 4],
        transforms=[list(global_views.values()), list(local_views.values())],
    ),
    dict(type='PackInputs'),
]
