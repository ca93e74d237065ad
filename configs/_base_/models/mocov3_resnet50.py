# MoCo v3 (arXiv 2104.02057) with a ResNet-50.
model = dict(
    type='MoCoV3',
    base_momentum=0.01,  # 1 - m of the paper, down to 0 along half a cosine
    backbone=dict(
        type='ResNet',
        depth=50,
        norm_cfg=dict(type='SyncBN'),
        # As in the authors' repository; mmpretrain's own config has False.
        zero_init_residual=True,
    ),
    neck=dict(
        type='NonLinearNeck',  # its batch norms are SyncBN too
        in_channels=2048,
        hid_channels=4096,
        out_channels=256,
        num_layers=2,
        with_bias=False,
        with_last_bn=True,
        with_last_bn_affine=False,
        with_last_bias=False,
        with_avg_pool=True,
    ),
    head=dict(
        type='MoCoV3Head',
        predictor=dict(
            type='NonLinearNeck',
            in_channels=256,
            hid_channels=4096,
            out_channels=256,
            num_layers=2,
            with_bias=False,
            with_last_bn=False,
            with_last_bias=False,
            with_avg_pool=False,
        ),
        # The paper multiplies the loss by twice the temperature.
        loss=dict(type='CrossEntropyLoss', loss_weight=2.0),
        temperature=1.0,
    ),
)
