# Linear probe, the embedded data set, ResNet-18, either method.
#   --cfg-options model.backbone.init_cfg.checkpoint=CKPT
_base_ = [
    '../_base_/models/resnet18_linear_small.py',
    '../_base_/datasets/scenes_linear.py',
    '../_base_/schedules/sgd_steplr_100e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='ResNet'),
    head=dict(num_classes=10),
)
train_dataloader = dict(batch_size=256)
# Batch 256 takes half of the learning rate at 512.
optim_wrapper = dict(optimizer=dict(lr=5.0))
param_scheduler = [dict(_base_.steps, milestones=[12, 16])]
train_cfg = dict(max_epochs=20)
default_hooks = dict(logger=dict(interval=5))
