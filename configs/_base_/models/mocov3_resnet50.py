# MoCo v3 (arXiv 2104.02057) with a ResNet-50: BYOL's parts without biases, with a batch norm after
# the projection and with a contrastive loss.
_base_ = './byol_resnet50.py'

model = dict(
    type='MoCoV3',
    # As in the authors' repository; mmpretrain's own config has False.
    backbone=dict(zero_init_residual=True),
    neck=dict(with_bias=False, with_last_bn=True, with_last_bn_affine=False),
    head=dict(
        type='MoCoV3Head',
        predictor=dict(with_bias=False),
        # The paper multiplies the loss by twice the temperature.
        loss=dict(type='CrossEntropyLoss', loss_weight=2.0),
        temperature=1.0,
    ),
)
