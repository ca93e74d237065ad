# Views of BYOL (arXiv 2006.07733, appendix B): MoCo v3's, except for the crop's smallest area
# and its interpolation.
_base_ = './mocov3.py'

views = _base_.views
views.crop.update(crop_ratio_range=(0.08, 1.0), interpolation='bicubic')
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=2, transforms=[list(views.values())]),
    dict(type='PackInputs'),
]
