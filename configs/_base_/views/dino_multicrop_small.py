# DINO's multi-crop on images of 64 px: two global views of that size and four local ones of 32 px,
# without blur, like all recipes for images this small.
_base_ = './dino_multicrop.py'

global_views = _base_.global_views
global_views.crop.scale = 64
local_views = _base_.local_views
local_views.crop.scale = 32
del global_views['blur'], local_views['blur']
train_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='JointView',
        num_views=[2, 4],
        transforms=[list(global_views.values()), list(local_views.values())],
    ),
    dict(type='PackInputs'),
]
