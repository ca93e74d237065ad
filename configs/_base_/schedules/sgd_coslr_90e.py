# Linear probe of MoCo v3 at batch 1024: 0.1 per 256 images.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.4, momentum=0.9, weight_decay=0.0),
)
cosine = dict(type='CosineAnnealingLR', T_max=90, by_epoch=True, begin=0, end=90)
param_scheduler = [cosine]
train_cfg = dict(by_epoch=True, max_epochs=90, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=1024)
