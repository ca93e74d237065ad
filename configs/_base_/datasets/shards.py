# Tar files of the WebDataset format, such as tools/make_shards.py writes, without labels:
#   --cfg-options train_dataloader.dataset.data_root=FOLDER
_base_ = './train_loader.py'

train_dataloader = dict(
    dataset=dict(type='WebDatasetShards', data_root='data/shards', shards='*.tar')
)
