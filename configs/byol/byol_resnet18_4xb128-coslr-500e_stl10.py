# BYOL, STL-10, ResNet-18, batch 512 on 4 GPUs, 500 epochs (table 2 of arXiv 2412.16522).
_base_ = [
    '../_base_/models/byol_resnet18_small.py',
    '../_base_/datasets/stl10.py',
    '../_base_/views/small.py',
    '../_base_/schedules/sgd_coslr_500e.py',
    '../_base_/default_runtime.py',
]

views = _base_.views
views.crop.scale = 96
train_pipeline = [
    dict(type='JointView', num_views=2, transforms=[list(views.values())]),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=128,
    dataset=dict(pipeline=train_pipeline),
)
default_hooks = dict(checkpoint=dict(interval=10))
