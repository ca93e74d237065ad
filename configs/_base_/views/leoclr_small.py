# Views of LeOCLR at 64 px: the original image and the two random crops of small images.
_base_ = './small.py'

original = dict(resize=dict(type='Resize', scale=(64, 64), backend='pillow'))
views = _base_.views
train_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='JointView',
        num_views=[1, 2],
        transforms=[list(original.values()), list(views.values())],
    ),
    dict(type='PackInputs'),
]
