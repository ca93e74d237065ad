# DINO's multi-crop on images of 64 px: two global views of that size and four local ones of 32 px,
# without blur, as all recipes for images so small.
_base_ = './dino_multicrop.py'

global_views, local_views = _base_.train_pipeline[1].transforms
global_views[0].scale = 64
local_views[0].scale = 32
del global_views[4], local_views[4]
del global_views, local_views
