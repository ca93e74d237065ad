# The linear probe on STL-10.
_base_ = ['./stl10.py', './linear.py']

train_pipeline = [
    dict(type='RandomResizedCrop', scale=96, backend='pillow'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
train_dataloader = dict(drop_last=False, dataset=dict(split='train', pipeline=train_pipeline))
val_dataloader = test_dataloader = _base_.knn_val_dataloader
