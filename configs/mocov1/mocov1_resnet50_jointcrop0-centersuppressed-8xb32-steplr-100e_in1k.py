_base_ = './mocov1_resnet50_8xb32-steplr-100e_in1k.py'

# The areas of a pair of crops are drawn jointly, from JC(0), and their positions are more
# likely near the edges of the image than at its center, as in ContrastiveCrop.
views = _base_.views
views.crop.update(beta=0, position='center_suppressed', alpha=0.6)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=2, transforms=[list(views.values())]),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
