# DINO for small images: a stem that keeps the resolution, fewer prototypes for fewer images, and
# batch norm in the head, an option of DINO's repository for convolutional networks: without it
# the features of a ResNet-18 did not separate in 400 steps. The paper has no such recipe; this one
# is ours.
_base_ = './dino_resnet50.py'

model = dict(
    backbone=dict(type='ResNet_CIFAR', depth=18),
    neck=dict(in_channels=512, out_channels=4096, with_bn=True),
    head=dict(out_channels=4096),
)
