# MoCo v2, the embedded data set, ResNet-18, batch 256, 10 epochs: a run to check that all works,
# which takes minutes on a CPU.
_base_ = [
    '../_base_/models/mocov2_resnet18_small.py',
    '../_base_/datasets/scenes.py',
    '../_base_/views/small.py',
    '../_base_/schedules/sgd_coslr_500e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    # For 2,500 images and about 90 iterations: a short queue and a fast key encoder.
    queue_len=1024,
    momentum=0.01,
    # The usual stem: with its stride of 4 the rest is fast enough for a CPU.
    backbone=dict(type='ResNet'),
)
train_dataloader = dict(
    batch_size=256,
    dataset=dict(pipeline=_base_.train_pipeline),
)
# Batch 256 uses half of the learning rate for 512.
optim_wrapper = dict(optimizer=dict(lr=0.25))
param_scheduler = [dict(_base_.cosine, T_max=10, end=10)]
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(base_batch_size=256)
default_hooks = dict(logger=dict(interval=5))
