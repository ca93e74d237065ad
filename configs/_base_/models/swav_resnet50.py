# SwAV (arXiv 2006.09882), with the settings of its repository for batch 256.
model = dict(
    type='SwAV',
    backbone=dict(
        type='ResNet',
        depth=50,
        norm_cfg=dict(type='SyncBN'),
        zero_init_residual=False,
    ),
    neck=dict(
        type='SwAVNeck',  # its batch norm is SyncBN too
        in_channels=2048,
        hid_channels=2048,
        out_channels=128,
        with_avg_pool=True,
    ),
    head=dict(
        type='SwAVHead',
        loss=dict(
            type='DistributedSwAVLoss',
            feat_dim=128,
            num_crops=[2, 6],
            num_prototypes=3000,
            sinkhorn_iterations=3,
            epsilon=0.05,
            temperature=0.1,
        ),
    ),
)
