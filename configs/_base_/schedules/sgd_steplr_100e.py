# Linear probe of MoCo v1 and v2 at batch 256.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=30.0, momentum=0.9, weight_decay=0.0),
)
steps = dict(type='MultiStepLR', milestones=[60, 80], gamma=0.1, by_epoch=True)
param_scheduler = [steps]
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=256)
