# ImageNet-100: 100 classes of data/imagenet, laid out as imagenet.py has it; only these are read.
# The list is mmjoint/datasets/imagenet100.txt; class_list takes the path of another one.
_base_ = './imagenet.py'

train_dataloader = dict(dataset=dict(type='ImageNetSubset', class_list='imagenet100'))
knn_train_dataloader = dict(dataset=dict(type='ImageNetSubset', class_list='imagenet100'))
knn_val_dataloader = dict(dataset=dict(type='ImageNetSubset', class_list='imagenet100'))
