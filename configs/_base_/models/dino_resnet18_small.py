# DINO for small images: a stem that keeps the resolution, and fewer prototypes for fewer images.
# The paper has no such recipe, this one is ours.
_base_ = './dino_resnet50.py'

model = dict(
    backbone=dict(type='ResNet_CIFAR', depth=18),
    neck=dict(in_channels=512, out_channels=4096),
    head=dict(out_channels=4096),
)
