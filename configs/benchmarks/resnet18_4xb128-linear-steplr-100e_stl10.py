# Linear probe, STL-10, ResNet-18, either method.
#   --cfg-options model.backbone.init_cfg.checkpoint=CKPT
_base_ = [
    '../_base_/models/resnet18_linear_small.py',
    '../_base_/datasets/stl10_linear.py',
    '../_base_/schedules/sgd_steplr_100e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    head=dict(num_classes=10),
)
train_dataloader = dict(batch_size=128)
# Batch 512 on 4 GPUs, after the ContrastiveCrop repository.
optim_wrapper = dict(optimizer=dict(lr=10.0))
auto_scale_lr = dict(base_batch_size=512)
default_hooks = dict(checkpoint=dict(interval=10))
