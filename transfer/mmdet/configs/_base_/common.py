# The parts that all recipes share, after MoCo's detection transfer (arXiv 1911.05722, section 4.2):
# the input on which our backbones were trained, trained and synchronized batch norm, and SGD.
default_scope = 'mmdet'
custom_imports = dict(imports=['mmjoint', 'mmdet_extras'])

data_preprocessor = dict(
    type='DetDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_size_divisor=32,
)
norm_cfg = dict(type='SyncBN', requires_grad=True)
backbone = dict(
    type='ResNet',
    depth=50,
    style='pytorch',  # the 3x3 convolution has the stride, as in torchvision
    frozen_stages=-1,
    norm_cfg=norm_cfg,
    norm_eval=False,
)

# detectron2 has no weight decay on norms and starts its warm-up at a thousandth.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0),
)
auto_scale_lr = dict(base_batch_size=16, enable=False)
train_cfg = dict(type='IterBasedTrainLoop')
test_cfg = dict(type='TestLoop')

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2000, max_keep_ckpts=1),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
# MoCo's PRECISE_BN: 200 batches through the final weights, before they are saved and tested.
custom_hooks = [dict(type='FinalPreciseBNHook', num_iters=200, priority='ABOVE_NORMAL')]
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='DetLocalVisualizer', vis_backends=vis_backends)
log_processor = dict(by_epoch=False, window_size=50)
log_level = 'INFO'
