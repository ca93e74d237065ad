_base_ = './simclr_resnet18_1xb64-coslr-10e_scenes.py'

# The areas of a pair of crops are drawn jointly, from JC(0).
_base_.train_dataloader.dataset.pipeline[1].transforms[0][0].beta = 0
