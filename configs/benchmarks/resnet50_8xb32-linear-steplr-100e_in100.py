# Linear probe, ImageNet-100, ResNet-50: MoCo's, batch 256 on 8 GPUs. For pretraining on COCO too.
#   --cfg-options model.backbone.init_cfg.checkpoint=CKPT
_base_ = [
    '../_base_/models/resnet50_linear.py',
    '../_base_/datasets/imagenet100_linear.py',
    '../_base_/schedules/sgd_steplr_100e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    head=dict(num_classes=100),
)
train_dataloader = dict(batch_size=32)
default_hooks = dict(checkpoint=dict(interval=10))
