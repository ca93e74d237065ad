# SimCLR for small images, after the ContrastiveCrop repository (arXiv 2202.03278): a stem that
# keeps the resolution and a projection without batch norm.
# That repository's loss is multiplied by temperature / 0.07 = 7.14 (NT_Xent's base_temperature).
# Ours is the plain mean; `--cfg-options model.head.loss.loss_weight=7.142857` gives theirs.
model = dict(
    type='DistributedSimCLR',
    backbone=dict(
        type='ResNet_CIFAR',
        depth=18,
        norm_cfg=dict(type='SyncBN'),
        zero_init_residual=False,
    ),
    neck=dict(
        type='MoCoV2Neck',
        in_channels=512,
        hid_channels=512,
        out_channels=128,
        with_avg_pool=True,
    ),
    head=dict(
        type='ContrastiveHead',
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        temperature=0.5,
    ),
)
