# The settings that the pretraining loaders of all data sets share; a data set may set its own
# normalization.
data_preprocessor = dict(
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
train_dataloader = dict(
    batch_size=256,
    num_workers=4,
    # Restarted workers would draw the same augmentations again: mmengine seeds them every time
    # they start, with the same numbers.
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
)
