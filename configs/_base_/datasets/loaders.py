# The settings that the loaders of all labeled data sets share.
_base_ = './train_loader.py'

# For tools/knn.py.
knn_train_dataloader = dict(
    batch_size=256,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
knn_val_dataloader = knn_train_dataloader
