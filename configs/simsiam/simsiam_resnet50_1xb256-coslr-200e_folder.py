# SimSiam, any folder of images without labels, ResNet-50, batch 256 on one GPU:
#   --cfg-options train_dataloader.dataset.data_root=FOLDER
# The recipe is that of ImageNet-1K.
_base_ = [
    '../_base_/models/simsiam_resnet50.py',
    '../_base_/datasets/folder.py',
    '../_base_/views/mocov2.py',
    '../_base_/schedules/sgd_coslr_200e.py',
    '../_base_/folder_runtime.py',
]

train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
optim_wrapper = dict(
    optimizer=dict(lr=0.05), paramwise_cfg=dict(custom_keys={'predictor': dict(fix_lr=True)})
)
custom_hooks = [*_base_.custom_hooks, dict(type='FixedLRHook')]
