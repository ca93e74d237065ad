# MoCo v2 for small images, after the ContrastiveCrop repository (arXiv 2202.03278): a stem that
# keeps the resolution.
_base_ = './mocov2_resnet50.py'

model = dict(
    backbone=dict(type='ResNet_CIFAR', depth=18),
    neck=dict(in_channels=512, hid_channels=512),
)
