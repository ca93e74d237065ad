_base_ = './infomin_resnet50_8xb32-coslr-100e_in1k.py'

# The areas of a pair of crops are drawn jointly, from JC(0).
pair_views = _base_.pair_views
pair_views.crop.beta = 0
train_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='JointView',
        num_views=[2, 1],
        transforms=[list(pair_views.values()), list(_base_.jigsaw_view.values())],
    ),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
