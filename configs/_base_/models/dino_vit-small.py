# DINO (arXiv 2104.14294), its repository's vanilla ViT-S/16. The backbone is initialized as
# mmpretrain's vision transformers are; DINO's repository draws all of its linear layers and its
# class token from a truncated normal of 0.02.
_base_ = './dino_resnet50.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='VisionTransformer',
        arch='deit-small',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
    ),
    neck=dict(in_channels=384),
)
