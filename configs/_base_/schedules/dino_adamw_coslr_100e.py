# DINO with vision transformers at batch 512: AdamW 5e-4 per 256 images, 10 epochs of warm-up,
# weight decay from 0.04 to 0.4 along half a cosine.
_base_ = './dino_sgd_coslr_100e.py'

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.04),
)
decay = dict(
    type='CosineAnnealingParamScheduler',
    param_name='weight_decay',
    T_max=100,
    eta_min_ratio=10,  # a ratio, so that parameters without weight decay stay without
    by_epoch=True,
    begin=0,
    end=100,
    convert_to_iter_based=True,
)
param_scheduler = [_base_.warmup, _base_.cosine, decay]
