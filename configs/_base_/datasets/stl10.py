# STL-10: the binary files as published.
_base_ = './loaders.py'

dataset = dict(type='STL10', data_root='data/stl10_binary')
eval_pipeline = [dict(type='PackInputs')]
data_preprocessor = dict(
    mean=[0.4406 * 255, 0.4273 * 255, 0.3858 * 255],
    std=[0.2312 * 255, 0.2265 * 255, 0.2237 * 255],
)
# The labels are not used in pretraining.
train_dataloader = dict(batch_size=128, dataset=dict(split='train+unlabeled', **dataset))
knn_train_dataloader = dict(dataset=dict(split='train', pipeline=eval_pipeline, **dataset))
knn_val_dataloader = dict(dataset=dict(split='test', pipeline=eval_pipeline, **dataset))
del dataset, eval_pipeline
