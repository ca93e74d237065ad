# SimCLR, the embedded data set, ResNet-18, batch 64, 10 epochs: a run to see that all works, which
# a CPU does in minutes. So few epochs need the many steps of a small batch and a low temperature.
_base_ = [
    '../_base_/models/simclr_resnet18_small.py',
    '../_base_/datasets/scenes.py',
    '../_base_/views/small.py',
    '../_base_/schedules/sgd_coslr_500e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    # The usual stem: its stride of 4 makes the rest quick enough for a CPU.
    backbone=dict(type='ResNet'),
    head=dict(temperature=0.2),
)
train_dataloader = dict(
    batch_size=64,
    dataset=dict(pipeline=_base_.train_pipeline),
)
# Batch 64 takes an eighth of the learning rate at 512.
optim_wrapper = dict(optimizer=dict(lr=0.0625))
param_scheduler = [dict(_base_.cosine, T_max=10, end=10)]
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(logger=dict(interval=20))
