# LeOCLR for small images, on the MoCo v2 model for small images.
_base_ = './mocov2_resnet18_small.py'

model = dict(type='LeOCLR')
