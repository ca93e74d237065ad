_base_ = './simsiam_resnet18_4xb128-coslr-500e_stl10.py'

# The areas of a pair of crops are drawn jointly, from JC(0).
_base_.train_dataloader.dataset.pipeline[0].transforms[0][0].beta = 0
