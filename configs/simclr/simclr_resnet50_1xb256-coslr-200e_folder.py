_base_ = './simclr_resnet18_1xb256-coslr-200e_folder.py'

# A ResNet-50 has features of 2048 channels, and heads as wide.
model = dict(backbone=dict(depth=50), neck=dict(in_channels=2048, hid_channels=2048))
