# The linear probe on a folder with train/CLASS/IMAGE and val/CLASS/IMAGE.
_base_ = ['./loaders.py', './linear.py']

dataset = dict(type='ImageFolder', data_root='data/labeled', with_label=True)
eval_pipeline = [
    dict(type='LoadImage', on_error='raise'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    drop_last=False,
    dataset=dict(data_prefix='train', pipeline=_base_.train_pipeline, **dataset),
)
knn_train_dataloader = dict(dataset=dict(data_prefix='train', pipeline=eval_pipeline, **dataset))
knn_val_dataloader = dict(dataset=dict(data_prefix='val', pipeline=eval_pipeline, **dataset))
val_dataloader = test_dataloader = dict(_base_.knn_val_dataloader, **knn_val_dataloader)
del dataset, eval_pipeline
