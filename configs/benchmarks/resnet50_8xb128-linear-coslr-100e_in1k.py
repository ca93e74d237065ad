# Linear probe, ImageNet-1K, ResNet-50: DINO's, batch 1024 on 8 GPUs. DINO's repository scales the
# rate by the batch and sweeps it; 0.3 is where the log of its own ResNet-50 starts
# (https://github.com/facebookresearch/dino/issues/131), 1024 its default batch.
#   --cfg-options model.backbone.init_cfg.checkpoint=CKPT
_base_ = './resnet50_8xb128-linear-coslr-90e_in1k.py'

# DINO evaluates its teacher.
model = dict(backbone=dict(init_cfg=dict(prefix='teacher.backbone.')))
optim_wrapper = dict(optimizer=dict(lr=0.3))
param_scheduler = [dict(_base_.cosine, T_max=100, end=100)]
train_cfg = dict(max_epochs=100)
