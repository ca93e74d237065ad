# SimCLR, BYOL and MoCo v3 at batch 256: LARS 0.3 per 256 images, 10 epochs of warm-up.
_base_ = './lars_coslr_100e.py'

optim_wrapper = dict(optimizer=dict(lr=0.3))
param_scheduler = [_base_.warmup, dict(_base_.cosine, T_max=190, end=200)]
train_cfg = dict(max_epochs=200)
auto_scale_lr = dict(base_batch_size=256)
