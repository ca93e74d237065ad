import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmjoint.paper.reduced import Reduction, reduce_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    """Ten training and two validation images of two classes."""
    folder = tmp_path_factory.mktemp('data')
    for split, number in (('train', 5), ('val', 1)):
        for label in ('a', 'b'):
            (folder / split / label).mkdir(parents=True)
            for i in range(number):
                image = np.full((8, 8, 3), 20 * i, np.uint8)
                cv2.imwrite(str(folder / split / label / f'{i}.png'), image)
    return folder


def reduced(name: str, root: Path, **kwargs) -> Config:
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    before = copy.deepcopy(cfg.to_dict())
    small = reduce_config(cfg, Reduction(str(root), **kwargs), seed=3)
    assert cfg.to_dict() == before
    return small


def views(cfg: Config) -> list:
    (view,) = [t for t in cfg.train_dataloader.dataset.pipeline if t.type == 'JointView']
    return view.transforms


def test_schedule_and_rate(root):
    cfg = reduced('simclr/simclr_resnet50_8xb64-coslr-100e_in1k', root)
    assert cfg.train_cfg.max_epochs == 10 and cfg.randomness == dict(seed=3)
    warmup, cosine = cfg.param_scheduler  # 10 and 90 of 100 epochs
    assert (warmup.begin, warmup.end) == (0, 1)
    assert (cosine.begin, cosine.end, cosine.T_max) == (1, 10, 9)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.6 * 128 / 512)
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 128


def test_a_warm_up_of_less_than_half_an_epoch_is_left_out(root):
    cfg = reduced('simclr/simclr_resnet50_8xb64-coslr-100e_in1k', root, epochs=4)
    (cosine,) = cfg.param_scheduler
    assert (cosine.type, cosine.begin, cosine.end, cosine.T_max) == ('CosineAnnealingLR', 0, 4, 4)


def test_steps(root):
    cfg = reduced('mocov1/mocov1_resnet50_8xb32-steplr-200e_in1k', root)
    assert cfg.param_scheduler[0].milestones == [6, 8]  # of 120 and 160 of 200


def test_rate_of_a_queue(root):
    cfg = reduced('mocov1/mocov1_resnet50_8xb32-steplr-200e_in1k', root)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.03 * 128 / 256)
    # The recipe for small images has 0.5 for 512.
    cfg = reduced('mocov2/mocov2_resnet18_4xb128-coslr-500e_tiny-imagenet', root)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.06 * 128 / 256)


def test_model(root):
    cfg = reduced('mocov1/mocov1_resnet50_8xb32-steplr-200e_in1k', root, width=16, queue=256)
    backbone = cfg.model.backbone
    assert (backbone.type, backbone.depth, backbone.base_channels) == ('ResNet', 18, 16)
    assert backbone.norm_cfg == dict(type='BN')
    assert (cfg.model.neck.in_channels, cfg.model.neck.out_channels) == (128, 128)
    assert (cfg.model.queue_len, cfg.model.momentum) == (256, 0.01)
    assert cfg.model.head.temperature == 0.07

    cfg = reduced('simsiam/simsiam_resnet50_8xb32-coslr-100e_in1k', root)
    neck, predictor = cfg.model.neck, cfg.model.head.predictor
    assert (neck.in_channels, neck.hid_channels, neck.out_channels) == (256, 512, 512)
    assert (predictor.in_channels, predictor.out_channels) == (512, 512)
    assert cfg.model.backbone.zero_init_residual is True
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys == {'predictor': dict(fix_lr=True)}


def test_views_keep_their_joint_numbers(root):
    name = 'dino/dino_resnet50_jointcrop0-local-8xb64-coslr-100e_in1k'
    pair, local = views(reduced(name, root))
    assert (pair[0].scale, local[0].scale) == (64, 38)  # of 160 and 96
    assert (pair[0].beta, local[0].beta) == (None, 0)
    assert (pair[0].crop_ratio_range, local[0].crop_ratio_range) == ((0.4, 1.0), (0.05, 0.4))


def test_dino_gets_what_makes_a_short_run_start(root):
    cfg = reduced('dino/dino_resnet50_8xb64-coslr-100e_in1k', root)
    assert cfg.model.neck.with_bn is True
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.1)  # 0.2 for 256, 128 images
    vit = reduced('dino/dino_vit-small_8xb64-coslr-100e_in1k', root)
    assert vit.optim_wrapper.optimizer.lr == pytest.approx(1e-3 * 128 / 512)


def test_contrastive_crop(root):
    name = 'mocov1/mocov1_resnet50_contrastivecrop-8xb32-steplr-100e_in1k'
    cfg = reduced(name, root, size=48)
    assert cfg.custom_hooks[1] == dict(
        type='ContrastiveCropHook', warm_up=2, interval=2, threshold=0.1, scale=48
    )
    types = [t.type for t in cfg.train_dataloader.dataset.pipeline]
    assert types == ['LoadImage', 'LoadSemanticBox', 'JointView', 'PackInputs']


@pytest.mark.parametrize('data', ['stl10', 'tiny-imagenet'])
def test_data(data, root):
    cfg = reduced(f'simclr/simclr_resnet18_4xb128-coslr-500e_{data}', root, images=4)
    train = cfg.train_dataloader.dataset
    assert (train.type, train.data_root, train.data_prefix) == ('ImageFolder', str(root), 'train')
    assert train.indices == [0, 2, 5, 7]  # of ten
    assert [t.type for t in train.pipeline] == ['LoadImage', 'JointView', 'PackInputs']
    assert views(cfg)[0][0].scale == 64
    for loader, prefix in (('knn_train_dataloader', 'train'), ('knn_val_dataloader', 'val')):
        dataset = cfg[loader].dataset
        assert (dataset.data_root, dataset.data_prefix) == (str(root), prefix)
        assert dataset.with_label and 'indices' not in dataset


def test_a_folder_without_labels_gets_no_knn(root):
    cfg = reduced('simclr/simclr_resnet18_1xb256-coslr-200e_folder', root)
    assert cfg.train_dataloader.dataset.data_root == str(root)
    assert 'knn_train_dataloader' not in cfg and 'knn_val_dataloader' not in cfg


def test_tiny_imagenet_as_published(tmp_path):
    (tmp_path / 'val/images').mkdir(parents=True)
    (tmp_path / 'val/val_annotations.txt').touch()
    cfg = reduced('simclr/simclr_resnet50_8xb64-coslr-100e_in1k', tmp_path)
    train, val = cfg.train_dataloader.dataset, cfg.knn_val_dataloader.dataset
    assert (train.type, train.split, val.split) == ('TinyImageNet', 'train', 'val')


def test_what_does_not_work(root):
    with pytest.raises(ValueError, match='epochs must be positive, got 0'):
        Reduction('data', epochs=0)
    with pytest.raises(ValueError, match='11 training images are asked for, and there are 10'):
        reduced('simclr/simclr_resnet50_8xb64-coslr-100e_in1k', root, images=11)
    with pytest.raises(ValueError, match='needs model.backbone and auto_scale_lr'):
        reduce_config(Config(dict(model=dict())), Reduction(str(root)), seed=0)
