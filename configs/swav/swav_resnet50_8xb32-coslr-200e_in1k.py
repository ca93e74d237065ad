# SwAV, ImageNet-1K, ResNet-50, batch 256 on 8 GPUs, 200 epochs, multi-crop 2 x 224 + 6 x 96: the
# recipe of SwAV's repository for that batch.
_base_ = [
    '../_base_/models/swav_resnet50.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/views/swav_multicrop.py',
    '../_base_/schedules/swav_lars_coslr_200e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    batch_size=32,
    dataset=dict(pipeline=_base_.train_pipeline),
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='SwAVHook',
        priority='VERY_HIGH',
        batch_size=32,
        epoch_queue_starts=15,
        crops_for_assign=[0, 1],
        feat_dim=128,
        queue_length=3840,
        frozen_layers_cfg=dict(prototypes=5005),
    ),
]
find_unused_parameters = True  # the prototypes get no gradient while they are frozen
