# Faster R-CNN R50-C4 on VOC 07+12, 24k iterations of 16 images (table 3 of arXiv 2412.16522).
_base_ = ['./_base_/c4.py', './_base_/voc.py']

model = dict(
    type='FasterRCNN',
    data_preprocessor=dict(pad_mask=False),
    roi_head=dict(bbox_head=dict(num_classes=20), mask_head=None),
)
train_cfg = dict(max_iters=24000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=False, milestones=[18000, 22000], gamma=0.1),
]
