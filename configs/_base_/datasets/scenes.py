# The embedded data set: python tools/make_scenes.py data/scenes
_base_ = './loaders.py'

dataset = dict(type='ImageFolder', data_root='data/scenes', with_label=True)
eval_pipeline = [
    dict(type='LoadImage', on_error='raise'),
    dict(type='Resize', scale=(64, 64), backend='pillow'),
    dict(type='PackInputs'),
]
# The labels are not used in pretraining.
train_dataloader = dict(num_workers=2, dataset=dict(data_prefix='train', **dataset))
knn_train_dataloader = dict(
    num_workers=2, dataset=dict(data_prefix='train', pipeline=eval_pipeline, **dataset)
)
knn_val_dataloader = dict(
    num_workers=2, dataset=dict(data_prefix='val', pipeline=eval_pipeline, **dataset)
)
del dataset, eval_pipeline
