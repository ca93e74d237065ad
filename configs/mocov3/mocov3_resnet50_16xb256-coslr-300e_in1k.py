# MoCo v3, ImageNet-1K, ResNet-50, batch 4096 on 16 GPUs, 300 epochs (table 1 of arXiv 2412.16522).
_base_ = './mocov3_resnet50_16xb256-coslr-100e_in1k.py'

# LARS 0.3 per 256 images, 10 epochs of warm-up.
optim_wrapper = dict(optimizer=dict(lr=4.8))
param_scheduler = [_base_.warmup, dict(_base_.cosine, T_max=290, end=300)]
train_cfg = dict(max_epochs=300)
