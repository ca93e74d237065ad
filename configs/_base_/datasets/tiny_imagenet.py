# Tiny-ImageNet as published, or sorted into folders.
_base_ = './loaders.py'

dataset = dict(type='TinyImageNet', data_root='data/tiny-imagenet-200')
eval_pipeline = [
    dict(type='LoadImage', on_error='raise'),
    dict(type='Resize', scale=(64, 64), backend='pillow'),
    dict(type='PackInputs'),
]
data_preprocessor = dict(
    mean=[0.4802 * 255, 0.4481 * 255, 0.3975 * 255],
    std=[0.2302 * 255, 0.2265 * 255, 0.2262 * 255],
)
# The labels are not used in pretraining.
train_dataloader = dict(batch_size=128, dataset=dict(split='train', **dataset))
knn_train_dataloader = dict(dataset=dict(split='train', pipeline=eval_pipeline, **dataset))
knn_val_dataloader = dict(dataset=dict(split='val', pipeline=eval_pipeline, **dataset))
del dataset, eval_pipeline
