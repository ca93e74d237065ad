# BYOL, any folder of images without labels, ResNet-50, batch 256 on one GPU:
#   --cfg-options train_dataloader.dataset.data_root=FOLDER
# The recipe is that of ImageNet-1K at its rate for 256 images.
_base_ = [
    '../_base_/models/byol_resnet50.py',
    '../_base_/datasets/folder.py',
    '../_base_/views/byol.py',
    '../_base_/schedules/lars_coslr_100e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    batch_size=256,
    dataset=dict(pipeline=_base_.train_pipeline),
)
# LARS 0.3 per 256 images, 10 epochs of warm-up.
optim_wrapper = dict(optimizer=dict(lr=0.3))
param_scheduler = [_base_.warmup, dict(_base_.cosine, T_max=190, end=200)]
train_cfg = dict(max_epochs=200)
auto_scale_lr = dict(base_batch_size=256)
# Logged every tenth iteration, since a folder may hold few batches.
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=10))
