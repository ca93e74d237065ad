# The 1x schedule with FPN.
_base_ = ['./_base_/fpn.py', './_base_/coco.py']

model = dict(data_preprocessor=dict(pad_mask=True))
train_cfg = dict(max_iters=90000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=False, milestones=[60000, 80000], gamma=0.1),
]
