_base_ = './mocov1_resnet50_8xb32-steplr-100e_in1k.py'

# ContrastiveCrop (arXiv 2202.03278): the centers of crops lie in the box given by the model's
# own heat map, away from its middle; the boxes are refreshed every 20 epochs.
views = _base_.views
views.crop.update(position='semantic', alpha=0.6)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadSemanticBox'),
    dict(type='JointView', num_views=2, transforms=[list(views.values())]),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='ContrastiveCropHook', warm_up=20, interval=20, threshold=0.1, scale=224),
]
