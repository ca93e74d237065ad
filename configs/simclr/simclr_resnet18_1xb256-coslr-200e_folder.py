# SimCLR, any folder of images without labels, ResNet-18, batch 256 on one GPU:
#   --cfg-options train_dataloader.dataset.data_root=FOLDER
# The recipe is that of ImageNet-1K.
_base_ = [
    '../_base_/models/simclr_resnet50.py',
    '../_base_/datasets/folder.py',
    '../_base_/views/simclr.py',
    '../_base_/schedules/lars_coslr_200e.py',
    '../_base_/folder_runtime.py',
]

model = dict(
    backbone=dict(depth=18),
    neck=dict(in_channels=512, hid_channels=512),
)
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
