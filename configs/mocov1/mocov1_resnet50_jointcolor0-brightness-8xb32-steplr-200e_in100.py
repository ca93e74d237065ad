_base_ = './mocov1_resnet50_8xb32-steplr-200e_in100.py'

# The brightness factors of a pair are drawn jointly, from JC(0).
_base_.train_dataloader.dataset.pipeline[1].transforms[0][2].beta = dict(brightness=0)
