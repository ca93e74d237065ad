_base_ = './simclr_resnet18_1xb256-coslr-200e_folder.py'

# The sigmas of a pair of blurs are drawn jointly, from JC(0).
views = _base_.views
views.blur.beta = 0
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=2, transforms=[list(views.values())]),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
