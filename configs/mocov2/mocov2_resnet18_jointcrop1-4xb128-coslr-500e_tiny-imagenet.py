_base_ = './mocov2_resnet18_4xb128-coslr-500e_tiny-imagenet.py'

# The areas of a pair of crops are drawn jointly, from JC(1).
_base_.train_dataloader.dataset.pipeline[1].transforms[0][0].beta = 1
