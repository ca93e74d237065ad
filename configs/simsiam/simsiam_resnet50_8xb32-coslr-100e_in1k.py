# SimSiam, ImageNet-1K, ResNet-50, batch 256 on 8 GPUs, 100 epochs (table 1 of arXiv 2412.16522).
_base_ = [
    '../_base_/models/simsiam_resnet50.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/views/mocov2.py',
    '../_base_/schedules/sgd_coslr_200e.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=_base_.pop('data_preprocessor'))
train_dataloader = dict(
    batch_size=32,
    dataset=dict(pipeline=_base_.pop('train_pipeline')),
)
optim_wrapper = dict(
    optimizer=dict(lr=0.05), paramwise_cfg=dict(custom_keys={'predictor': dict(fix_lr=True)})
)
custom_hooks = [*_base_.custom_hooks, dict(type='FixedLRHook')]
_base_.param_scheduler[0].update(T_max=100, end=100)
train_cfg = dict(max_epochs=100)
