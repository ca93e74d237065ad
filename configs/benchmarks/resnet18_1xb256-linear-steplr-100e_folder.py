# Linear probe, a folder with train/CLASS/IMAGE and val/CLASS/IMAGE, ResNet-18, any method:
#   --cfg-options model.backbone.init_cfg.checkpoint=CKPT model.head.num_classes=NUMBER
#     train_dataloader.dataset.data_root=FOLDER val_dataloader.dataset.data_root=FOLDER
#     test_dataloader.dataset.data_root=FOLDER
_base_ = './resnet50_1xb256-linear-steplr-100e_folder.py'

model = dict(backbone=dict(depth=18), head=dict(in_channels=512))
