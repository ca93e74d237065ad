# Views of LeOCLR (arXiv 2403.06813) at 224 px: the original image, resized and not cropped, and
# MoCo v2's two random crops. What we have of the paper does not tell whether the original image
# gets any other augmentation; here it gets none.
_base_ = './mocov2.py'

original = dict(resize=dict(type='Resize', scale=(224, 224), backend='pillow'))
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
