# MoCo v1, ImageNet-1K, ResNet-50, batch 256 on 8 GPUs, 200 epochs (table 1 of arXiv 2412.16522).
_base_ = [
    '../_base_/models/mocov1_resnet50.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/views/mocov1.py',
    '../_base_/schedules/sgd_steplr_200e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    batch_size=32,
    dataset=dict(pipeline=_base_.train_pipeline),
)
