# DINO, Tiny-ImageNet, ResNet-18, batch 512 on 4 GPUs, 500 epochs, multi-crop 2 x 64 + 4 x 32. The
# paper has no such row: this is the recipe for ImageNet-1K on small images, and ours.
_base_ = [
    '../_base_/models/dino_resnet18_small.py',
    '../_base_/datasets/tiny_imagenet.py',
    '../_base_/views/dino_multicrop_small.py',
    '../_base_/schedules/dino_sgd_coslr_100e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    batch_size=128,
    dataset=dict(pipeline=_base_.train_pipeline),
)
custom_hooks = [*_base_.custom_hooks, dict(type='DINOHook', freeze_last_layer=1, clip_grad=3.0)]
param_scheduler = [_base_.warmup, dict(_base_.cosine, T_max=490, end=500)]
train_cfg = dict(max_epochs=500)
default_hooks = dict(checkpoint=dict(interval=10))
