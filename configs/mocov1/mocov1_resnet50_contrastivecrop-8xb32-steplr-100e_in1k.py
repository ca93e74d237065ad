_base_ = './mocov1_resnet50_8xb32-steplr-100e_in1k.py'

# ContrastiveCrop (arXiv 2202.03278): crops are centred in the box that the model's own heat map
# gives, away from its middle; the boxes are made anew every 20 epochs.
pipeline = _base_.train_dataloader.dataset.pipeline
pipeline[1].transforms[0][0].update(position='semantic', alpha=0.6)
pipeline.insert(1, dict(type='LoadSemanticBox'))
del pipeline
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='ContrastiveCropHook', warm_up=20, interval=20, threshold=0.1, scale=224),
]
