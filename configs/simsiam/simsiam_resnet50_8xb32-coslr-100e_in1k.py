# SimSiam, ImageNet-1K, ResNet-50, batch 256 on 8 GPUs, 100 epochs (table 1 of arXiv 2412.16522).
_base_ = [
    '../_base_/models/simsiam_resnet50.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/views/mocov2.py',
    '../_base_/schedules/sgd_coslr_200e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    batch_size=32,
    dataset=dict(pipeline=_base_.train_pipeline),
)
optim_wrapper = dict(
    optimizer=dict(lr=0.05), paramwise_cfg=dict(custom_keys={'predictor': dict(fix_lr=True)})
)
custom_hooks = [*_base_.custom_hooks, dict(type='FixedLRHook')]
param_scheduler = [dict(_base_.cosine, T_max=100, end=100)]
train_cfg = dict(max_epochs=100)
