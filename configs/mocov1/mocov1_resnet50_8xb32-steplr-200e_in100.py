# MoCo v1, ImageNet-100, ResNet-50, batch 256 on 8 GPUs, 200 epochs (table 7 of arXiv 2412.16522).
# The paper says neither the data set of table 7 nor the epochs: its ablations use ImageNet-100,
# and its table 1 has 200 epochs.
_base_ = [
    '../_base_/models/mocov1_resnet50.py',
    '../_base_/datasets/imagenet100.py',
    '../_base_/views/mocov1.py',
    '../_base_/schedules/sgd_steplr_200e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    batch_size=32,
    dataset=dict(pipeline=_base_.train_pipeline),
)
