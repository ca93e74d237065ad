# STL-10: the binary files as published.
data_preprocessor = dict(
    mean=[0.4406 * 255, 0.4273 * 255, 0.3858 * 255],
    std=[0.2312 * 255, 0.2265 * 255, 0.2237 * 255],
    to_rgb=True,
)
eval_pipeline = [
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
    dataset=dict(type='STL10', data_root='data/stl10_binary', split='train+unlabeled'),
)

# For tools/knn.py.
knn_train_dataloader = dict(
    batch_size=256,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='STL10', data_root='data/stl10_binary', split='train', pipeline=eval_pipeline
    ),
)
knn_val_dataloader = dict(
    batch_size=256,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='STL10', data_root='data/stl10_binary', split='test', pipeline=eval_pipeline),
)
del eval_pipeline
