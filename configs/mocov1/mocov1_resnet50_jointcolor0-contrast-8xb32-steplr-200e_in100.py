_base_ = './mocov1_resnet50_8xb32-steplr-200e_in100.py'

# The contrast factors of a pair are drawn jointly, from JC(0).
views = _base_.views
views.color.beta = dict(contrast=0)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=2, transforms=[list(views.values())]),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
