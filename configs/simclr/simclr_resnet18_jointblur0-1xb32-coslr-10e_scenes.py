_base_ = './simclr_resnet18_1xb32-coslr-10e_scenes.py'

# A joint blur, JC(0), after the other transforms. The baseline has none, and the paper holds that
# blur does not suit images this small (section 4.2).
views = dict(**_base_.views, blur=dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=0.5, beta=0))
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=2, transforms=[list(views.values())]),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
