_base_ = './mocov1_resnet50_8xb32-steplr-200e_in1k.py'

# A blur, JC(0), before the flip. MoCo v1 has none, so this row of the paper differs from the
# baseline both by having a blur and by its being joint.
views = _base_.views
views.update(
    blur=dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=0.5, beta=0), flip=views.pop('flip')
)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=2, transforms=[list(views.values())]),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
