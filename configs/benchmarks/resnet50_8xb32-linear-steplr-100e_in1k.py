# Linear probe, ImageNet-1K, ResNet-50: MoCo's, batch 256 on 8 GPUs.
#   --cfg-options model.backbone.init_cfg.checkpoint=CKPT
_base_ = [
    '../_base_/models/resnet50_linear.py',
    '../_base_/datasets/imagenet_linear.py',
    '../_base_/schedules/sgd_steplr_100e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=32)
default_hooks = dict(checkpoint=dict(interval=10))
