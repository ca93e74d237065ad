_base_ = './simclr_resnet50_8xb64-coslr-100e_in1k.py'

# The sigmas of a pair of blurs are drawn jointly, from JC(0).
_base_.train_dataloader.dataset.pipeline[1].transforms[0][4].beta = 0
