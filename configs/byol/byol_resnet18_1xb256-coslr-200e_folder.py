_base_ = './byol_resnet50_1xb256-coslr-200e_folder.py'

# A ResNet-18 has features of 512 channels.
model = dict(backbone=dict(depth=18), neck=dict(in_channels=512))
