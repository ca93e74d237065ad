# DINO, any folder of images without labels, ResNet-50, batch 256 on one GPU:
#   --cfg-options train_dataloader.dataset.data_root=FOLDER
# The recipe is that of ImageNet-1K at its rate for 256 images.
_base_ = [
    '../_base_/models/dino_resnet50.py',
    '../_base_/datasets/folder.py',
    '../_base_/views/dino_multicrop.py',
    '../_base_/schedules/dino_sgd_coslr_100e.py',
    '../_base_/folder_runtime.py',
]

train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
custom_hooks = [*_base_.custom_hooks, dict(type='DINOHook', freeze_last_layer=1, clip_grad=3.0)]
# SGD 0.03 per 256 images, 10 epochs of warm-up.
optim_wrapper = dict(optimizer=dict(lr=0.03))
param_scheduler = [_base_.warmup, dict(_base_.cosine, T_max=190, end=200)]
train_cfg = dict(max_epochs=200)
auto_scale_lr = dict(base_batch_size=256)
