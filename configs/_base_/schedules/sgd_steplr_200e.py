# MoCo v1 at batch 256.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4),
)
steps = dict(type='MultiStepLR', milestones=[120, 160], gamma=0.1, by_epoch=True)
param_scheduler = [steps]
train_cfg = dict(by_epoch=True, max_epochs=200)
auto_scale_lr = dict(base_batch_size=256)
