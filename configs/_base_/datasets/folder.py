# Any folder of images, at any depth, without labels:
#   --cfg-options train_dataloader.dataset.data_root=FOLDER
_base_ = './train_loader.py'

train_dataloader = dict(dataset=dict(type='ImageFolder', data_root='data/images'))
