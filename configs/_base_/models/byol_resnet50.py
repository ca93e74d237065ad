# BYOL (arXiv 2006.07733).
model = dict(
    type='BYOL',
    base_momentum=0.01,  # 1 - tau of the paper, down to 0 along half a cosine
    backbone=dict(
        type='ResNet',
        depth=50,
        norm_cfg=dict(type='SyncBN'),
        zero_init_residual=False,
    ),
    neck=dict(
        type='NonLinearNeck',  # its batch norms are SyncBN too
        in_channels=2048,
        hid_channels=4096,
        out_channels=256,
        num_layers=2,
        with_bias=True,
        with_last_bn=False,
        with_last_bias=False,
        with_avg_pool=True,
    ),
    head=dict(
        type='LatentPredictHead',
        predictor=dict(
            type='NonLinearNeck',
            in_channels=256,
            hid_channels=4096,
            out_channels=256,
            num_layers=2,
            with_bias=True,
            with_last_bn=False,
            with_last_bias=False,
            with_avg_pool=False,
        ),
        loss=dict(type='CosineSimilarityLoss'),
    ),
)
