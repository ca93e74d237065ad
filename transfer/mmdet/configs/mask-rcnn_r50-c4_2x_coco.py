# MoCo's schedule: 180k iterations.
_base_ = './mask-rcnn_r50-c4_1x_coco.py'

train_cfg = dict(max_iters=180000)
_base_.param_scheduler[1].milestones = [120000, 160000]
