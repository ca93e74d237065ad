# ImageNet-1K: data/imagenet/{train,val}/<wnid>/*.JPEG, or flat folders and meta/{train,val}.txt.
_base_ = './loaders.py'

dataset = dict(type='ImageNet1K', data_root='data/imagenet')
eval_pipeline = [
    dict(type='LoadImage', on_error='raise'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
# The labels are not used in pretraining.
train_dataloader = dict(num_workers=8, dataset=dict(split='train', **dataset))
knn_train_dataloader = dict(
    num_workers=8, dataset=dict(split='train', pipeline=eval_pipeline, **dataset)
)
knn_val_dataloader = dict(
    num_workers=8, dataset=dict(split='val', pipeline=eval_pipeline, **dataset)
)
del dataset, eval_pipeline
