# SimCLR at batch 512: LARS 0.3 per 256 images, 10 epochs of warm-up.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='ForeachLARS', lr=0.6, momentum=0.9, weight_decay=1e-6),
    paramwise_cfg=dict(
        custom_keys={
            'bn': dict(decay_mult=0, lars_exclude=True),
            'bias': dict(decay_mult=0, lars_exclude=True),
            # the batch norm of a residual block's shortcut
            'downsample.1': dict(decay_mult=0, lars_exclude=True),
        }
    ),
)
warmup = dict(
    type='LinearLR',
    start_factor=1e-4,
    by_epoch=True,
    begin=0,
    end=10,
    convert_to_iter_based=True,
)
cosine = dict(type='CosineAnnealingLR', T_max=90, by_epoch=True, begin=10, end=100)
param_scheduler = [warmup, cosine]
train_cfg = dict(by_epoch=True, max_epochs=100)
auto_scale_lr = dict(base_batch_size=512)
