# DINO (arXiv 2104.14294), with the settings of its repository's command for ResNet-50.
model = dict(
    type='DINO',
    base_momentum=0.004,  # the share of the new weights: 1 - 0.996 of the paper, down to 0
    backbone=dict(
        type='ResNet',
        depth=50,
        norm_cfg=dict(type='SyncBN'),
        zero_init_residual=False,
    ),
    neck=dict(
        type='DINONeck',
        in_channels=2048,
        hid_channels=2048,
        bottleneck_channels=256,
        out_channels=65536,
        norm_last_layer=True,
    ),
    head=dict(
        type='DINOHead',
        out_channels=65536,
        student_temperature=0.1,
        warmup_teacher_temperature=0.04,
        teacher_temperature=0.04,
        warmup_epochs=0,
        center_momentum=0.9,
    ),
)
