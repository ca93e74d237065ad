# LeOCLR, ImageNet-1K, ResNet-50, batch 256 on 8 GPUs, 200 epochs, on MoCo v2 (arXiv 2403.06813).
_base_ = [
    '../_base_/models/leoclr_resnet50.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/views/leoclr.py',
    '../_base_/schedules/sgd_coslr_200e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    batch_size=32,
    dataset=dict(pipeline=_base_.train_pipeline),
)
