# The settings that the linear probes of all data sets share.
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='RandomResizedCrop', scale=224, backend='pillow'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
