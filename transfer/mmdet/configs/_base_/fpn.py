# Mask R-CNN with ResNet-50-FPN: input, backbone and sampling of the C4 recipe with detectron2's FPN
# heads; norm in backbone and FPN (training diverges without it: moco#23), but not in the heads
# (moco#34).
_base_ = './c4.py'

model = dict(
    backbone=dict(
        num_stages=4,
        strides=(1, 2, 2, 2),
        dilations=(1, 1, 1, 1),
        out_indices=(0, 1, 2, 3),
    ),
    neck=dict(
        type='FPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        num_outs=5,
        norm_cfg={{_base_.norm_cfg}},
    ),
    rpn_head=dict(
        in_channels=256,
        feat_channels=256,
        anchor_generator=dict(scales=[8], strides=[4, 8, 16, 32, 64]),
    ),
    roi_head=dict(
        shared_head=None,
        bbox_roi_extractor=dict(
            roi_layer=dict(output_size=7), out_channels=256, featmap_strides=[4, 8, 16, 32]
        ),
        bbox_head=dict(
            type='Shared2FCBBoxHead',
            with_avg_pool=False,
            in_channels=256,
            fc_out_channels=1024,
        ),
        mask_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[4, 8, 16, 32],
        ),
        mask_head=dict(num_convs=4, in_channels=256),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=2000, max_per_img=1000), rcnn=dict(mask_size=28)),
    test_cfg=dict(rpn=dict(nms_pre=1000)),
)
