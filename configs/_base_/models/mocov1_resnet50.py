# MoCo v1 (arXiv 1911.05722): MoCo v2 with a linear projection and a lower temperature.
_base_ = './mocov2_resnet50.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='LinearNeck',
        in_channels=2048,
        out_channels=128,
        gap_dim=2,  # averaged over height and width first
        norm_cfg=None,
    ),
    head=dict(temperature=0.07),
)
