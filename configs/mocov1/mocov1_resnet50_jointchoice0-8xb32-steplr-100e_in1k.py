_base_ = './mocov1_resnet50_8xb32-steplr-100e_in1k.py'

# Each pair is made either as in the jointcrop0 or as in the jointblur0 config, with probability 0.5
# each.
crop, gray, color, flip = _base_.train_dataloader.dataset.pipeline[1].transforms[0]
_base_.train_dataloader.dataset.pipeline[1].transforms[0] = [
    dict(
        type='JointChoice',
        prob=[0.5, 0.5],
        transforms=[
            [dict(crop, beta=0), gray, color, flip],
            [
                crop,
                gray,
                color,
                dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=0.5, beta=0),
                flip,
            ],
        ],
    )
]
del crop, gray, color, flip
