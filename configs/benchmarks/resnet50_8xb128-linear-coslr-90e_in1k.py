# Linear probe, ImageNet-1K, ResNet-50: MoCo v3's, batch 1024 on 8 GPUs.
#   --cfg-options model.backbone.init_cfg.checkpoint=CKPT
_base_ = [
    '../_base_/models/resnet50_linear.py',
    '../_base_/datasets/imagenet_linear.py',
    '../_base_/schedules/sgd_coslr_90e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=128)
default_hooks = dict(checkpoint=dict(interval=10))
