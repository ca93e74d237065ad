# DINO's multi-crop on images of 64 px: two global views of that size and four local ones of 32 px.
# No blur, as the recipes for small images have none; the blur is what DINO's second global view
# differs by, apart from the solarization, which stays.
_base_ = './dino_multicrop.py'

for _views, _scale in zip(_base_.train_pipeline[1].transforms, (64, 32)):
    _views[0].scale = _scale
    _views[:] = [_view for _view in _views if _view['type'] != 'JointBlur']
