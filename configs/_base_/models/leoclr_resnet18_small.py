# LeOCLR for small images: that of MoCo v2.
_base_ = './mocov2_resnet18_small.py'

model = dict(type='LeOCLR')
