_base_ = './leoclr_resnet50_8xb32-coslr-200e_in1k.py'

# The areas of a pair of crops are drawn jointly, from JC(0).
_base_.train_dataloader.dataset.pipeline[1].transforms[1][0].beta = 0
