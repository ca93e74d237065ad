# Linear probe, a folder with train/CLASS/IMAGE and val/CLASS/IMAGE, ResNet-50, any method:
#   --cfg-options model.backbone.init_cfg.checkpoint=CKPT model.head.num_classes=NUMBER
#     train_dataloader.dataset.data_root=FOLDER val_dataloader.dataset.data_root=FOLDER
#     test_dataloader.dataset.data_root=FOLDER
# The recipe is MoCo's for ImageNet-1K.
_base_ = [
    '../_base_/models/resnet50_linear.py',
    '../_base_/datasets/folder_linear.py',
    '../_base_/schedules/sgd_steplr_100e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=256)
