_base_ = './simclr_resnet18_1xb256-coslr-200e_folder.py'

# The sigmas of a pair of blurs are drawn jointly, from JC(0).
_base_.train_dataloader.dataset.pipeline[1].transforms[0][4].beta = 0
