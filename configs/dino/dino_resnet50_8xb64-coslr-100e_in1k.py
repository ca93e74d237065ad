# DINO, ImageNet-1K, ResNet-50, batch 512 on 8 GPUs, 100 epochs, multi-crop 2 x 160 + 4 x 96
# (table 10 of arXiv 2412.16522, which does not tell the batch: this is the command of DINO's
# repository for ResNet-50).
_base_ = [
    '../_base_/models/dino_resnet50.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/views/dino_multicrop.py',
    '../_base_/schedules/dino_sgd_coslr_100e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    batch_size=64,
    dataset=dict(pipeline=_base_.train_pipeline),
)
custom_hooks = [*_base_.custom_hooks, dict(type='DINOHook', freeze_last_layer=1, clip_grad=3.0)]
