_base_ = './mocov1_resnet50_8xb32-steplr-100e_in1k.py'

# The areas of a pair of crops are drawn jointly, from JC(0), and their places from the edges of the
# image rather than its middle, as in ContrastiveCrop.
_base_.train_dataloader.dataset.pipeline[1].transforms[0][0].update(
    beta=0, position='center_suppressed', alpha=0.6
)
