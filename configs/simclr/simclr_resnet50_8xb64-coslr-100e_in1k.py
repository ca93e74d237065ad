# SimCLR, ImageNet-1K, ResNet-50, batch 512 on 8 GPUs, 100 epochs (table 1 of arXiv 2412.16522).
_base_ = [
    '../_base_/models/simclr_resnet50.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/views/simclr.py',
    '../_base_/schedules/lars_coslr_100e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    batch_size=64,
    dataset=dict(pipeline=_base_.train_pipeline),
)
