# MoCo v2 at batch 256.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4),
)
cosine = dict(type='CosineAnnealingLR', T_max=200, by_epoch=True, begin=0, end=200)
param_scheduler = [cosine]
train_cfg = dict(by_epoch=True, max_epochs=200)
auto_scale_lr = dict(base_batch_size=256)
