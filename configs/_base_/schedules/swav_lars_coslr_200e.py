# SwAV at batch 256: LARS 0.6 on every weight, cosine to a thousandth, no warm-up.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='ForeachLARS', lr=0.6, momentum=0.9, weight_decay=1e-6),
)
cosine = dict(
    type='CosineAnnealingLR',
    T_max=200,
    eta_min_ratio=1e-3,
    by_epoch=True,
    begin=0,
    end=200,
    convert_to_iter_based=True,
)
param_scheduler = [cosine]
train_cfg = dict(by_epoch=True, max_epochs=200)
auto_scale_lr = dict(base_batch_size=256)
