# Views of LeOCLR at 64 px: the original image and the two random crops of small images.
_base_ = './small.py'

_base_.train_pipeline[1].update(
    num_views=[1, 2],
    transforms=[
        [dict(type='Resize', scale=(64, 64), backend='pillow')],
        _base_.train_pipeline[1].transforms[0],
    ],
)
