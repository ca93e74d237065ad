# The linear probe on ImageNet-1K.
_base_ = ['./imagenet.py', './linear.py']

train_dataloader = dict(drop_last=False, dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = test_dataloader = _base_.knn_val_dataloader
