# DINO with convolutional networks at batch 512: SGD 0.03 per 256 images, 10 epochs of warm-up.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=1e-4),
    # No weight decay on biases and on the parameters of batch norms.
    paramwise_cfg=dict(flat_decay_mult=0.0),
)
warmup = dict(
    type='LinearLR',
    start_factor=1e-4,
    by_epoch=True,
    begin=0,
    end=10,
    convert_to_iter_based=True,
)
cosine = dict(
    type='CosineAnnealingLR',
    T_max=90,
    eta_min=1e-6,
    by_epoch=True,
    begin=10,
    end=100,
    convert_to_iter_based=True,
)
param_scheduler = [warmup, cosine]
train_cfg = dict(by_epoch=True, max_epochs=100)
auto_scale_lr = dict(base_batch_size=512)
