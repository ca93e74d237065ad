_base_ = './dino_resnet50_8xb64-coslr-100e_in1k.py'

# The areas of the pair of global crops are drawn jointly, from JC(0).
_base_.train_dataloader.dataset.pipeline[1].transforms[0][0].beta = 0
