# MoCo v3, ImageNet-1K, ResNet-50, batch 4096 on 16 GPUs, 100 epochs (table 1 of arXiv 2412.16522).
_base_ = [
    '../_base_/models/mocov3_resnet50.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/views/mocov3.py',
    '../_base_/schedules/lars_coslr_100e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    batch_size=256,
    dataset=dict(pipeline=_base_.train_pipeline),
)
# LARS 0.6 per 256 images, 10 epochs of warm-up.
optim_wrapper = dict(optimizer=dict(lr=9.6))
auto_scale_lr = dict(base_batch_size=4096)
