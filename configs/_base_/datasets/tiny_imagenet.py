# Tiny-ImageNet as published, or sorted into folders.
data_preprocessor = dict(
    mean=[0.4802 * 255, 0.4481 * 255, 0.3975 * 255],
    std=[0.2302 * 255, 0.2265 * 255, 0.2262 * 255],
    to_rgb=True,
)
eval_pipeline = [
    dict(type='LoadImage', on_error='raise'),
    dict(type='Resize', scale=(64, 64), backend='pillow'),
    dict(type='PackInputs'),
]

# The labels are not used in pretraining.
train_dataloader = dict(
    batch_size=128,
    num_workers=4,
    # Restarted workers would draw the same augmentations again: mmengine seeds them every time
    # they start, with the same numbers.
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='TinyImageNet', data_root='data/tiny-imagenet-200', split='train'),
)

# For tools/knn.py.
knn_train_dataloader = dict(
    batch_size=256,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='TinyImageNet',
        data_root='data/tiny-imagenet-200',
        split='train',
        pipeline=eval_pipeline,
    ),
)
knn_val_dataloader = dict(
    batch_size=256,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='TinyImageNet', data_root='data/tiny-imagenet-200', split='val', pipeline=eval_pipeline
    ),
)
del eval_pipeline
