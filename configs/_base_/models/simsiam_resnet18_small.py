# SimSiam for small images, after the ContrastiveCrop repository (arXiv 2202.03278): a stem that
# keeps the resolution, 512 channels and a predictor with 128.
_base_ = './simsiam_resnet50.py'

model = dict(
    backbone=dict(type='ResNet_CIFAR', depth=18),
    neck=dict(in_channels=512, hid_channels=512, out_channels=512),
    head=dict(predictor=dict(in_channels=512, hid_channels=128, out_channels=512)),
)
