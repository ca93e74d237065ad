# DINO, ImageNet-1K, ViT-S/16, batch 512 on 8 GPUs, 100 epochs: the vanilla run of DINO's
# repository, multi-crop 2 x 224 + 8 x 96. The paper has ResNets only.
_base_ = [
    '../_base_/models/dino_vit-small.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/views/dino_multicrop.py',
    '../_base_/schedules/dino_adamw_coslr_100e.py',
    '../_base_/default_runtime.py',
]

global_views = _base_.global_views
global_views.crop.scale = 224
train_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='JointView',
        num_views=[2, 8],
        transforms=[list(global_views.values()), list(_base_.local_views.values())],
    ),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=64,
    dataset=dict(pipeline=train_pipeline),
)
custom_hooks = [*_base_.custom_hooks, dict(type='DINOHook', freeze_last_layer=1, clip_grad=3.0)]
