# Small images at batch 512, after the ContrastiveCrop repository: cosine to a tenth.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=1e-4),
)
cosine = dict(
    type='CosineAnnealingLR',
    T_max=500,
    eta_min_ratio=0.1,
    by_epoch=True,
    begin=0,
    end=500,
)
param_scheduler = [cosine]
train_cfg = dict(by_epoch=True, max_epochs=500)
auto_scale_lr = dict(base_batch_size=512)
