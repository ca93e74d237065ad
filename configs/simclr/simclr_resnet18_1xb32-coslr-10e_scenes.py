# SimCLR, the embedded data set, ResNet-18, batch 32, 10 epochs: a run to see that all works, which
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
    # Batch norm in the projection: features are apart from the first steps on.
    neck=dict(
        _delete_=True,
        type='NonLinearNeck',
        in_channels=512,
        hid_channels=512,
        out_channels=128,
        num_layers=2,
        with_avg_pool=True,
    ),
    head=dict(temperature=0.2),
)
# A crop covers 28 to 64 of an image's 64 pixels. Views of 32 cost half of what 40 do: the stages'
# strides divide them, where 40 pixels leave 2 x 2 positions to the last stage instead of one.
views = _base_.views
views.crop.scale = 32
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=2, transforms=[list(views.values())]),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=32,
    dataset=dict(pipeline=train_pipeline),
)
# In so few steps AdamW gets further than SGD; on a CPU the fused one takes a fraction of the time.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=1e-4, fused=True),
)
param_scheduler = [dict(_base_.cosine, T_max=10, end=10)]
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(logger=dict(interval=20))
