_base_ = './simclr_resnet18_jointcrop0-1xb256-coslr-200e_folder.py'

# Pairs of crops get harder while the model learns, from JC(2) to JC(-1). With
# follow=dict(target=0.6, bounds=(-4, 4)) instead of the schedule, beta holds the mean cosine
# similarity of positive pairs at 0.6.
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='BetaHook', schedule=dict(kind='cosine', betas=(2, -1))),
]
