_base_ = './dino_resnet50_8xb64-coslr-100e_in1k.py'

# The areas of the pair of global crops are drawn jointly, from JC(0).
global_views = _base_.global_views
global_views.crop.beta = 0
train_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='JointView',
        num_views=[2, 4],
        transforms=[list(global_views.values()), list(_base_.local_views.values())],
    ),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
