"""Protocols on features with a known answer, label subsets, and folders of labelled images."""

import math
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.models import ResNet

from mmjoint.datasets.shard_writer import write_shards
from mmjoint.evaluation import (
    balanced_subset,
    cached_features,
    evaluate_protocols,
    few_shot_accuracy,
    knn_accuracy,
    labelled_features,
    linear_accuracy,
    use_folder,
)
from mmjoint.evaluation.evaluate import _PARTS, _fingerprint, _read_features, provenance


def blobs(num: int, seed: int, spread: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Four Gaussian blobs in six dimensions, a quarter of the images each."""
    centers = torch.randn(4, 6, generator=torch.Generator().manual_seed(9)) * 2
    labels = torch.arange(num) % 4
    noise = torch.randn(num, 6, generator=torch.Generator().manual_seed(seed))
    return centers[labels] + spread * noise, labels


def test_subsets_are_balanced_and_seeded():
    labels = torch.cat([torch.zeros(100), torch.ones(250), torch.full((3,), 2)]).long()
    labels = labels[torch.randperm(353, generator=torch.Generator().manual_seed(1))]
    subset = balanced_subset(labels, 0.1, seed=0)
    assert labels[subset].bincount().tolist() == [10, 25, 1]
    assert subset.unique().tolist() == subset.tolist()
    assert torch.equal(subset, balanced_subset(labels, 0.1, seed=0))
    assert not torch.equal(subset, balanced_subset(labels, 0.1, seed=1))
    # Every image has the same chance: the 100 of class 0 appear 10 times in 100 draws, each.
    counts = torch.zeros(353)
    for seed in range(100):
        counts[balanced_subset(labels, 0.1, seed)] += 1
    assert counts[labels == 0].mean() == 10
    assert counts[labels == 0].std() == pytest.approx(3, abs=0.9)  # binomial: sqrt(100 * .1 * .9)
    for fraction in (0, 1.5, math.nan):
        with pytest.raises(ValueError, match='fraction is'):
            balanced_subset(labels, fraction, 0)


def test_few_shot_is_the_mean_over_draws():
    train, test = blobs(200, 1), blobs(400, 2)
    result = few_shot_accuracy(*train, *test, fraction=0.1, draws=3, seed=5)
    expected = []
    for seed in (5, 6, 7):
        subset = balanced_subset(train[1], 0.1, seed)
        expected.append(linear_accuracy(train[0][subset], train[1][subset], *test)['top1'])
    assert result['draws'] == expected and result['num_train'] == 20
    assert result['top1'] == pytest.approx(np.mean(expected))
    assert result['std'] == pytest.approx(np.std(expected, ddof=1))
    with pytest.raises(ValueError, match='draws is 0'):
        few_shot_accuracy(*train, *test, fraction=0.1, draws=0)


def test_protocols_are_the_functions():
    train, test = blobs(300, 1), blobs(100, 2)
    results = evaluate_protocols((train, test), k=7, temperature=0.1, draws=2)
    assert results['knn'] == knn_accuracy(*train, *test, 7, 0.1) | dict(k=7, temperature=0.1)
    assert results['linear'] == linear_accuracy(*train, *test)
    few, tenth = results['few-shot']['1%'], results['few-shot']['10%']
    assert few['num_train'] == 4 and tenth['num_train'] == 32
    assert 25 < few['top1'] < tenth['top1'] <= results['linear']['top1'] + 3
    assert list(evaluate_protocols((train, test), ['knn'])) == ['knn']
    with pytest.raises(ValueError, match='unknown protocol svm'):
        evaluate_protocols((train, test), ['svm'])


def test_one_image_a_class_takes_the_first_weight_decay():
    train, test = blobs(8, 1), blobs(100, 2)
    one = slice(0, 5)  # a class has two images
    assert linear_accuracy(train[0][one], train[1][one], *test)['weight_decay'] in (1e-1, 1e-4)
    labels = torch.arange(8)
    assert linear_accuracy(train[0], labels, *test, (0.03, 0.01))['weight_decay'] == 0.03


def write_images(folder: Path, num: int = 2) -> None:
    folder.mkdir(parents=True)
    for i in range(num):
        cv2.imwrite(str(folder / f'{i}.JPEG'), np.full((40, 60, 3), 50 * i, np.uint8))


@pytest.mark.parametrize('split', ['val', 'test'])
def test_class_folders(tmp_path, split):
    for part in ('train', split):
        for name in ('a', 'b'):
            write_images(tmp_path / part / name)
    cfg = Config(
        dict(train_dataloader=dict(dataset=dict(pipeline=[dict(type='JointCrop', scale=64)])))
    )
    use_folder(cfg, tmp_path)
    train, val = cfg.knn_train_dataloader.dataset, cfg.knn_val_dataloader.dataset
    assert (train.type, train.data_prefix, val.data_prefix) == ('ImageFolder', 'train', split)
    assert train.with_label and train.pipeline[1] == dict(
        type='Resize', scale=(64, 64), backend='pillow'
    )


def test_tiny_imagenets_own_layout_and_large_views(tmp_path):
    write_images(tmp_path / 'train/n01/images')
    write_images(tmp_path / 'val/images')
    (tmp_path / 'val/val_annotations.txt').write_text('0.JPEG\tn01\n1.JPEG\tn01\n')
    pipeline = [dict(type='MultiView', transforms=[[dict(type='RandomResizedCrop', scale=224)]])]
    cfg = Config(dict(train_dataloader=dict(dataset=dict(pipeline=pipeline))))
    use_folder(cfg, tmp_path)
    train, val = cfg.knn_train_dataloader.dataset, cfg.knn_val_dataloader.dataset
    assert (train.type, train.split, val.split) == ('TinyImageNet', 'train', 'val')
    assert (val.pipeline[1].scale, val.pipeline[2].crop_size) == (256, 224)


def test_the_configs_own_preparation_counts(tmp_path):
    for part in ('train', 'val'):
        write_images(tmp_path / part / 'a')
    own = [dict(type='LoadImage'), dict(type='CenterCrop', crop_size=32), dict(type='PackInputs')]
    cfg = Config(
        dict(knn_val_dataloader=dict(batch_size=3, num_workers=0, dataset=dict(pipeline=own)))
    )
    use_folder(cfg, tmp_path)
    assert cfg.knn_train_dataloader.dataset.pipeline == own
    assert cfg.knn_val_dataloader.batch_size == 3


def test_folders_that_do_not_do(tmp_path):
    with pytest.raises(ValueError, match='expected a folder with train/CLASS/IMAGE'):
        use_folder(Config(), tmp_path)
    for part in ('train', 'val'):
        write_images(tmp_path / part / 'a')
    with pytest.raises(ValueError, match='the size of the images is not known'):
        use_folder(Config(), tmp_path)


def write_stl10(root: Path) -> dict:
    (root / 'test_X.bin').write_bytes(bytes(2 * 3 * 96 * 96))
    (root / 'test_y.bin').write_bytes(bytes([1, 2]))
    return dict(type='STL10', data_root=str(root), split='test')


def write_tar(root: Path) -> dict:
    write_images(root / 'photos/a')
    write_shards(root / 'photos', root / 'shards', with_label=True)
    return dict(type='WebDatasetShards', data_root=str(root / 'shards'), shards='000000.tar')


@pytest.mark.parametrize(
    'write,holder', [(write_stl10, 'test_X.bin'), (write_tar, 'shards/000000.tar')]
)
def test_features_of_images_inside_a_larger_file_are_cached_by_that_file(tmp_path, write, holder):
    loader = dict(dataset=write(tmp_path))
    (tmp_path / 'weights.pth').write_bytes(b'weights')
    cfg = Config(
        dict(
            model=dict(backbone=dict(type='ResNet', depth=18)),
            knn_train_dataloader=loader,
            knn_val_dataloader=loader,
        )
    )
    before = _fingerprint(cfg, tmp_path / 'weights.pth')
    assert _fingerprint(cfg, tmp_path / 'weights.pth', 'momentum') != before
    assert _fingerprint(cfg, tmp_path / 'weights.pth') == before
    os.utime(tmp_path / holder, ns=(0, 0))
    assert _fingerprint(cfg, tmp_path / 'weights.pth') != before


def test_kept_features_and_a_full_disk(tmp_path, full_disk):
    """Names of images need not be text; what cannot be kept whole is named and not kept."""
    images = tmp_path / 'images'
    for i, name in enumerate('ab'):
        write_images(images / name, i + 2)
    os.rename(images / 'b', images / os.fsdecode(b'caf\xe9'))  # OpenCV cannot write there
    pipeline = [dict(type='LoadImage'), dict(type='PackInputs')]
    loader = dict(
        batch_size=5,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
        dataset=dict(type='ImageFolder', data_root=str(images), with_label=True, pipeline=pipeline),
    )
    backbone = dict(type='ResNet', depth=18, base_channels=8, stem_channels=8)
    cfg = Config(
        dict(
            model=dict(
                type='SimCLR',
                backbone=backbone,
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss')),
            ),
            knn_train_dataloader=loader,
            knn_val_dataloader=loader,
        )
    )
    state = ResNet(depth=18, base_channels=8, stem_channels=8).state_dict()
    weights = {f'backbone.{name}': value for name, value in state.items()}
    checkpoint, cache = tmp_path / 'weights.pth', tmp_path / 'cache'
    torch.save(dict(state_dict=weights), checkpoint)
    # Room enough for the progress bars, which pytest keeps in a file.
    with full_disk(1500), pytest.raises(OSError, match=f'cannot write {cache}/features_.*large'):
        cached_features(cfg, checkpoint, cache)
    assert list(cache.iterdir()) == []
    (train, labels), _ = cached_features(cfg, checkpoint, cache)
    assert train.shape == (5, 64) and labels.tolist() == [0, 0, 1, 1, 1]
    (file,) = cache.iterdir()
    kept = torch.load(file)[_PARTS[0]]
    assert torch.equal(kept, train) and torch.equal(labelled_features(cfg, checkpoint)[0][0], train)


def test_what_was_measured_is_told_of_a_file_of_emahook(tmp_path):
    """EMAHook puts the average in the place of the weights, and the weights aside."""
    weights = {'backbone.conv1.weight': torch.ones(1)}
    content = {'state_dict': weights, 'meta': {'epoch': 3}}
    loader = dict(dataset=dict(data_root='images'))
    cfg = Config(dict(knn_train_dataloader=loader, knn_val_dataloader=loader))
    path = tmp_path / 'plain.pth'
    torch.save(content, path)
    told = provenance(cfg, path)
    assert (told['which'], told['weights'], told['available']) == (
        'online', "'backbone.'", ['online'],
    )  # fmt: skip
    average = {'module.backbone.conv1.weight': torch.zeros(1), 'steps': torch.tensor(4)}
    torch.save(content | {'ema_state_dict': average}, path)
    for which, place in (
        ('online', "'module.backbone.' of 'ema_state_dict'"), ('momentum', "'backbone.'")
    ):  # fmt: skip
        told = provenance(cfg, path, which)
        assert (told['which'], told['weights'], told['epoch']) == (which, place, 3)
        assert told['available'] == ['online', 'momentum']
    assert provenance(cfg, None)['which'] is None


def write_cache(path: Path, **changes: object) -> dict:
    parts = dict(zip(_PARTS, (*blobs(40, 1), *blobs(20, 2)), strict=True)) | changes
    torch.save({name: value for name, value in parts.items() if value is not None}, path)
    return parts


def test_kept_features_are_those_that_were_written(tmp_path):
    parts = write_cache(tmp_path / 'features.pt')
    for name, value in zip(_PARTS, sum(_read_features(tmp_path / 'features.pt'), ()), strict=True):
        assert torch.equal(value, parts[name])


@pytest.mark.parametrize(
    'damage, message',
    [
        (lambda path: path.write_bytes(b''), ''),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), ''),
        (lambda path: path.write_bytes(b'x' * 1000), ''),
        (lambda path: torch.save([1, 2], path), ''),
        (lambda path: write_cache(path, **{_PARTS[3]: None}), _PARTS[3]),
        (lambda path: write_cache(path, **{_PARTS[1]: 'labels'}), ''),
        (lambda path: write_cache(path, **{_PARTS[0]: torch.ones(40, 6).double()}), 'float64'),
        (lambda path: write_cache(path, **{_PARTS[0]: torch.ones(39, 6)}), r'\(39, 6\)'),
        (lambda path: write_cache(path, **{_PARTS[2]: torch.ones(20, 5)}), 'widths 6 and 5'),
        (lambda path: write_cache(path, **{_PARTS[2]: torch.full((20, 6), math.nan)}), 'finite'),
    ],
)
def test_damaged_cache_is_named(tmp_path, damage, message):
    path = tmp_path / 'features.pt'
    write_cache(path)
    damage(path)
    with pytest.raises(
        ValueError, match=f'{path}: not a features file .*{message}.*; remove the file'
    ):
        _read_features(path)
