# InfoMin (arXiv 2005.10243) as in the PyContrast repository: MoCo v2 with a jigsaw branch.
_base_ = './mocov2_resnet50.py'

model = dict(
    type='InfoMin',
    head=dict(temperature=0.15),
    jigsaw_neck=dict(type='JigsawNeck', in_channels=2048, hid_channels=2048, out_channels=128),
    jigsaw_weight=0.5,
)
