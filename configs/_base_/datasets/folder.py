# Any folder of images, at any depth, without labels:
#   --cfg-options train_dataloader.dataset.data_root=FOLDER
# With another train_dataloader.batch_size give --auto-scale-lr: the rate is for the config's batch.
_base_ = './train_loader.py'

train_dataloader = dict(dataset=dict(type='ImageFolder', data_root='data/images'))
