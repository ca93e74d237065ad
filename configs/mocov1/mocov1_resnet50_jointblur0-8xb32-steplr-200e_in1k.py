_base_ = './mocov1_resnet50_8xb32-steplr-200e_in1k.py'

# A blur, JC(0), before the flip. MoCo v1 has none, so this row of the paper differs from the
# baseline in having one as much as in its being joint.
_base_.train_dataloader.dataset.pipeline[1].transforms[0].insert(
    3, dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=0.5, beta=0)
)
