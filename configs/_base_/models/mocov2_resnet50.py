model = dict(
    type='MoCo',
    queue_len=65536,
    feat_dim=128,
    momentum=0.001,  # the share of the new weights: 1 - m of the paper
    backbone=dict(
        type='ResNet',
        depth=50,
        # Plain batch norm: MoCo shuffles the keys among the processes instead. A single
        # process cannot shuffle and normalizes an image's query and key over the same images,
        # the leak described in MoCo's section 3.3: use several GPUs if possible.
        norm_cfg=dict(type='BN'),
        zero_init_residual=False,
    ),
    neck=dict(
        type='MoCoV2Neck',
        in_channels=2048,
        hid_channels=2048,
        out_channels=128,
        with_avg_pool=True,
    ),
    head=dict(
        type='ContrastiveHead',
        loss=dict(type='CrossEntropyLoss'),
        temperature=0.2,
    ),
)
