# COCO's train2017 as a set to pretrain on: data/coco/train2017/*.jpg, without annotations. The
# backbone is evaluated on ImageNet-100, as in section 4.5 of arXiv 2412.16522.
_base_ = './imagenet100.py'

train_dataloader = dict(
    dataset=dict(_delete_=True, type='ImageFolder', data_root='data/coco', data_prefix='train2017'),
)
