# The linear probe on the embedded data set.
_base_ = ['./scenes.py', './linear.py']

_base_.train_pipeline[1].scale = 64
train_dataloader = dict(drop_last=False, dataset=dict(pipeline=_base_.pop('train_pipeline')))
val_dataloader = test_dataloader = _base_.knn_val_dataloader
