_base_ = './mocov1_resnet50_jointblur0-8xb32-steplr-100e_in1k.py'

# Crop and blur are both JC(0), as in appendix F; their difficulties are coupled with rho = 1:
# a hard crop has a hard blur.
views = _base_.views
views.crop.beta = 0
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=2, transforms=[list(views.values())], coupling=1),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
