# MoCo v3, any folder of images without labels, ResNet-50, batch 256 on one GPU:
#   --cfg-options train_dataloader.dataset.data_root=FOLDER
# The recipe is that of ImageNet-1K (300 epochs) at its rate for 256 images.
_base_ = [
    '../_base_/models/mocov3_resnet50.py',
    '../_base_/datasets/folder.py',
    '../_base_/views/mocov3.py',
    '../_base_/schedules/lars_coslr_200e.py',
    '../_base_/folder_runtime.py',
]

train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
