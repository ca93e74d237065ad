# LeOCLR (arXiv 2403.06813) on MoCo v2.
_base_ = './mocov2_resnet50.py'

model = dict(type='LeOCLR')
