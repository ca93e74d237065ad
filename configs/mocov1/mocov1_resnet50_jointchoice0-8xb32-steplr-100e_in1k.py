_base_ = './mocov1_resnet50_8xb32-steplr-100e_in1k.py'

# Each pair is made either as in the jointcrop0 or as in the jointblur0 config, with probability 0.5
# each.
crop, gray, color, flip = _base_.views.values()
blur = dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=0.5, beta=0)
choice = dict(
    type='JointChoice',
    prob=[0.5, 0.5],
    transforms=[
        [dict(crop, beta=0), gray, color, flip],
        [crop, gray, color, blur, flip],
    ],
)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=2, transforms=[[choice]]),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
del crop, gray, color, flip, blur, choice
