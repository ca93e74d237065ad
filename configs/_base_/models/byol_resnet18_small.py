# BYOL for small images, after the ContrastiveCrop repository (arXiv 2202.03278): a stem that keeps
# the resolution, 512 hidden and 128 output channels.
_base_ = './byol_resnet50.py'

model = dict(
    # That repository's m is 0.996 throughout; mmpretrain's BYOL goes from there to 1 along half a
    # cosine, as the BYOL paper does.
    base_momentum=0.004,
    backbone=dict(type='ResNet_CIFAR', depth=18),
    neck=dict(in_channels=512, hid_channels=512, out_channels=128, with_last_bias=True),
    head=dict(
        predictor=dict(in_channels=128, hid_channels=512, out_channels=128, with_last_bias=True)
    ),
)
