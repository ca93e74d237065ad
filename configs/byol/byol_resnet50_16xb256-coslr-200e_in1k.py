# BYOL, ImageNet-1K, ResNet-50, batch 4096 on 16 GPUs, 200 epochs.
# No table of arXiv 2412.16522 has it. The recipe is that of mmselfsup, which the paper names as its
# code for BYOL.
_base_ = [
    '../_base_/models/byol_resnet50.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/views/byol.py',
    '../_base_/schedules/lars_coslr_100e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    batch_size=256,
    dataset=dict(pipeline=_base_.train_pipeline),
)
# LARS 0.3 per 256 images, 10 epochs of warm-up.
optim_wrapper = dict(optimizer=dict(lr=4.8))
param_scheduler = [_base_.warmup, dict(_base_.cosine, T_max=190, end=200)]
train_cfg = dict(max_epochs=200)
auto_scale_lr = dict(base_batch_size=4096)
