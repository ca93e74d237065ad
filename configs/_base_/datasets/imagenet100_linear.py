# The linear probe on ImageNet-100.
_base_ = './imagenet100.py'

train_dataloader = dict(
    drop_last=False,
    dataset=dict(
        pipeline=[
            dict(type='LoadImage'),
            dict(type='RandomResizedCrop', scale=224, backend='pillow'),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackInputs'),
        ]
    ),
)
val_dataloader = _base_.knn_val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_dataloader = val_dataloader
test_evaluator = val_evaluator
