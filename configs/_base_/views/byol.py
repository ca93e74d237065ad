# Views of BYOL (arXiv 2006.07733, appendix B): MoCo v3's, but for the crop's least area and its
# interpolation.
_base_ = './mocov3.py'

_base_.train_pipeline[1].transforms[0][0].update(
    crop_ratio_range=(0.08, 1.0), interpolation='bicubic'
)
