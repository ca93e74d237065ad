# Linear probe of SimSiam (arXiv 2011.10566, appendix A), used for SimCLR and BYOL too, at batch
# 4096.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='ForeachLARS', lr=1.6, momentum=0.9, weight_decay=0.0),
)
cosine = dict(type='CosineAnnealingLR', T_max=90, by_epoch=True, begin=0, end=90)
param_scheduler = [cosine]
train_cfg = dict(by_epoch=True, max_epochs=90, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=4096)
