# The linear probe on Tiny-ImageNet.
_base_ = ['./tiny_imagenet.py', './linear.py']

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='RandomResizedCrop', scale=64, backend='pillow'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
train_dataloader = dict(drop_last=False, dataset=dict(pipeline=train_pipeline))
val_dataloader = test_dataloader = _base_.knn_val_dataloader
