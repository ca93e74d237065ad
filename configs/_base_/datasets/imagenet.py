# ImageNet-1K: data/imagenet/{train,val}/<wnid>/*.JPEG, or flat folders and meta/{train,val}.txt.
data_preprocessor = dict(
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
eval_pipeline = [
    dict(type='LoadImage', on_error='raise'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]

# The labels are not used in pretraining.
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    # Restarted workers would draw the same augmentations again: mmengine seeds them every time
    # they start, with the same numbers.
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='ImageNet', data_root='data/imagenet', split='train'),
)

# For tools/knn.py.
knn_train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='ImageNet', data_root='data/imagenet', split='train', pipeline=eval_pipeline),
)
knn_val_dataloader = dict(
    batch_size=256,
    num_workers=8,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='ImageNet', data_root='data/imagenet', split='val', pipeline=eval_pipeline),
)
del eval_pipeline
