# The embedded data set: python tools/make_scenes.py data/scenes
data_preprocessor = dict(
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
eval_pipeline = [
    dict(type='LoadImage', on_error='raise'),
    dict(type='Resize', scale=(64, 64), backend='pillow'),
    dict(type='PackInputs'),
]

# The labels are not used in pretraining.
train_dataloader = dict(
    batch_size=256,
    num_workers=2,
    # Restarted workers would draw the same augmentations again: mmengine seeds them every time
    # they start, with the same numbers.
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='ImageFolder', data_root='data/scenes', data_prefix='train', with_label=True),
)

# For tools/knn.py.
knn_train_dataloader = dict(
    batch_size=256,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ImageFolder',
        data_root='data/scenes',
        data_prefix='train',
        with_label=True,
        pipeline=eval_pipeline,
    ),
)
knn_val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ImageFolder',
        data_root='data/scenes',
        data_prefix='val',
        with_label=True,
        pipeline=eval_pipeline,
    ),
)
del eval_pipeline
