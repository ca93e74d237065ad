_base_ = './simclr_resnet18_1xb32-coslr-10e_scenes.py'

# The areas of a pair of crops are drawn jointly, from JC(0).
views = _base_.views
views.crop.beta = 0
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=2, transforms=[list(views.values())]),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
