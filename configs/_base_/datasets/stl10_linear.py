# The linear probe on STL-10.
_base_ = ['./stl10.py', './linear.py']

_base_.train_pipeline[1].scale = 96
train_dataloader = dict(
    drop_last=False, dataset=dict(split='train', pipeline=_base_.pop('train_pipeline')[1:])
)
val_dataloader = test_dataloader = _base_.knn_val_dataloader
