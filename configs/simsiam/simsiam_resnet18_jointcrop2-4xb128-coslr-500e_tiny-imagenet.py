_base_ = './simsiam_resnet18_4xb128-coslr-500e_tiny-imagenet.py'

# The areas of a pair of crops are drawn jointly, from JC(2).
views = _base_.views
views.crop.beta = 2
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=2, transforms=[list(views.values())]),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
