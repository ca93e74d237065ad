import json
import math
from collections import defaultdict

import cv2
import numpy as np
import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from mmjoint.checkpoints import CheckpointError
from mmjoint.evaluation import evaluate_knn, extract_features, knn_accuracy

MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)


def brute_force(train, train_labels, test, test_labels, k, temperature):
    """Count hits image by image in double precision, with Python's own sort."""
    train = np.asarray(train, np.float64)
    hits = {1: 0, 5: 0}
    for feature, label in zip(np.asarray(test, np.float64), test_labels.tolist(), strict=True):
        norms = np.linalg.norm(train, axis=1) * np.linalg.norm(feature)
        similarities = (train @ feature / norms).tolist()
        nearest = sorted(range(len(train)), key=lambda i: -similarities[i])[:k]
        votes = defaultdict(float)
        for i in nearest:
            votes[int(train_labels[i])] += math.exp(similarities[i] / temperature)
        ranked = sorted(votes, key=lambda name: -votes[name])
        for top in hits:
            hits[top] += label in ranked[:top]
    return {f'top{top}': 100 * count / len(test_labels) for top, count in hits.items()}


def clusters(num_train=300, num_test=90, num_classes=9):
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(num_classes, 6, generator=generator)
    labels = torch.arange(num_train + num_test) % num_classes
    noise = torch.randn(len(labels), 6, generator=generator)
    features = centers[labels] + 0.9 * noise
    return features[:num_train], labels[:num_train], features[num_train:], labels[num_train:]


@pytest.mark.parametrize('k', [1, 3, 20, 300])
@pytest.mark.parametrize('temperature', [0.02, 0.07, 1.0])
def test_agrees_with_brute_force(k, temperature):
    data = clusters()
    expected = brute_force(*data, k, temperature)
    assert 30 < expected['top1'] < 95  # neither chance nor trivial
    assert knn_accuracy(*data, k=k, temperature=temperature) == pytest.approx(expected)


@pytest.mark.parametrize('chunk', [1, 7, 64, 300])
def test_chunks_do_not_matter(chunk):
    data = clusters()
    assert knn_accuracy(*data, chunk=chunk) == knn_accuracy(*data)


@pytest.mark.parametrize('chunk', [1, 2, 100])
def test_of_equal_neighbors_as_many_vote_as_asked_for(chunk):
    train = torch.tensor([[0.0, 1.0]] * 3 + [[1.0, 0.0]] * 5)
    labels = torch.tensor([4, 4, 4, 3, 1, 0, 2, 2])
    test = torch.tensor([[2.0, 0.0]])

    def hit(label, k):
        accuracy = knn_accuracy(train, labels, test, torch.tensor([label]), k=k, chunk=chunk)
        return accuracy['top1'] == 100

    # One of the five equal ones is the nearest, whichever; of all five, class 2 has two.
    assert [hit(label, 1) for label in range(5)].count(True) == 1 and not hit(4, 1)
    assert [hit(label, 5) for label in range(5)] == [False, False, True, False, False]
    # The three of class 4 are orthogonal to it, so their votes weigh next to nothing.
    assert hit(2, 8)


def test_temperature_weighs_near_against_many():
    # One neighbour at similarity 1, two at 0.8: exp(0.2 / T) against 2, equal at T = 0.2 / log 2.
    train = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.8, -0.6]])
    labels = torch.tensor([1, 0, 0])
    test, truth = torch.tensor([[1.0, 0.0]]), torch.tensor([1])
    even = 0.2 / math.log(2)
    assert knn_accuracy(train, labels, test, truth, 3, even * 0.99)['top1'] == 100
    assert knn_accuracy(train, labels, test, truth, 3, even * 1.01)['top1'] == 0


def test_low_temperature_is_nearest_neighbor():
    data = clusters()
    assert knn_accuracy(*data, k=20, temperature=1e-6)['top1'] == knn_accuracy(*data, k=1)['top1']


def test_class_without_vote_is_no_prediction():
    train = torch.eye(8)
    accuracy = knn_accuracy(train, torch.arange(8), train, (torch.arange(8) + 1) % 8, k=1)
    assert accuracy == {'top1': 0, 'top5': 0}


def test_no_top5_of_five_classes():
    train = torch.eye(5)
    assert knn_accuracy(train, torch.arange(5), train, torch.arange(5), k=1) == {'top1': 100}


def test_collapsed_features_give_chance():
    labels = torch.arange(100) % 10
    constant = torch.ones(100, 4)
    for features in (constant, 0 * constant):
        assert knn_accuracy(features, labels, features, labels, k=100)['top1'] == 10


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(k=0), 'k is 0; it must be from 1 to the 300 training images'),
        (dict(k=301), 'k is 301'),
        (dict(temperature=0.0), 'temperature is 0.0'),
        (dict(temperature=math.nan), 'temperature is nan'),
        (dict(chunk=0), 'chunk is 0'),
        (dict(train_features=torch.ones(300, 5)), '5 channels and test_features 6'),
        (dict(test_features=torch.full((90, 6), math.nan)), 'test_features holds .* not finite'),
        (dict(train_labels=torch.zeros(299, dtype=torch.int64)), r'train_labels \(299,\)'),
        (dict(test_labels=torch.full((90,), -1)), 'test_labels must be integers from 0'),
        (dict(test_features=torch.ones(0, 6), test_labels=torch.ones(0)), r'test_features \(0, 6'),
    ],
)
def test_bad_arguments(change, message):
    names = ('train_features', 'train_labels', 'test_features', 'test_labels')
    arguments = dict(zip(names, clusters(), strict=True)) | change
    with pytest.raises(ValueError, match=message):
        knn_accuracy(**arguments)


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture
def folder(tmp_path):
    """Two classes told apart by color, six training and four test images each."""
    rng = np.random.default_rng(0)
    for split, count in (('train', 6), ('val', 4)):
        for name, color in (('blue', (200, 40, 30)), ('red', (30, 40, 200))):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(count):
                image = rng.normal(color, 30, (32, 32, 3)).clip(0, 255).astype(np.uint8)
                cv2.imwrite(str(tmp_path / split / name / f'{i}.png'), image)
    return tmp_path


def loader_cfg(folder, split, collate='default_collate', pipeline=None, **dataset):
    return dict(
        batch_size=5,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type=collate),
        dataset=dict(
            type='ImageFolder',
            data_root=str(folder),
            data_prefix=split,
            pipeline=pipeline or [dict(type='LoadImageFromFile'), dict(type='PackInputs')],
            **(dict(with_label=True) | dataset),
        ),
    )


def make_preprocessor():
    return MODELS.build(dict(type='SelfSupDataPreprocessor', mean=MEAN, std=STD, to_rgb=True))


@pytest.mark.parametrize('collate', ['default_collate', 'pseudo_collate'])
def test_features_agree_with_torchvision(folder, collate):
    torch.manual_seed(0)
    reference = torchvision.models.resnet18(num_classes=1)
    backbone = MODELS.build(dict(type='ResNet', depth=18))
    weights = {k: v for k, v in reference.state_dict().items() if not k.startswith('fc.')}
    backbone.load_state_dict(weights)
    reference.fc = torch.nn.Identity()
    backbone.train()

    loader = Runner.build_dataloader(loader_cfg(folder, 'train', collate))
    features, labels = extract_features(backbone, loader, make_preprocessor())

    paths = sorted((folder / 'train').glob('*/*.png'))
    assert labels.tolist() == [int(path.parent.name == 'red') for path in paths]
    images = np.stack([cv2.imread(str(path))[..., ::-1] for path in paths])
    images = torch.tensor((images - np.array(MEAN)) / STD).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        expected = reference.eval()(images)
    torch.testing.assert_close(features, expected)
    assert backbone.training


@pytest.mark.parametrize('collate', ['default_collate', 'pseudo_collate'])
def test_several_views_are_refused(folder, collate):
    views = dict(type='MultiView', num_views=2, transforms=[[dict(type='RandomFlip', prob=0.5)]])
    pipeline = [dict(type='LoadImageFromFile'), views, dict(type='PackInputs')]
    loader = Runner.build_dataloader(loader_cfg(folder, 'val', collate, pipeline))
    with pytest.raises(ValueError, match='several views'):
        extract_features(torch.nn.Identity(), loader, make_preprocessor())


def test_unlabelled_images_are_refused(folder):
    loader = Runner.build_dataloader(loader_cfg(folder, 'val', with_label=False))
    with pytest.raises(ValueError, match='without labels'):
        extract_features(torch.nn.Identity(), loader, make_preprocessor())


def make_config(folder, **changes):
    settings = dict(
        default_scope='mmpretrain',
        custom_imports=dict(imports=['mmjoint']),
        data_preprocessor=dict(mean=MEAN, std=STD, to_rgb=True),
        model=dict(
            type='SimCLR',
            # SyncBN: what the configs for several GPUs have must work on one CPU.
            backbone=dict(type='ResNet', depth=18, norm_cfg=dict(type='SyncBN')),
            neck=dict(type='NonLinearNeck', in_channels=512, hid_channels=8, out_channels=4),
            head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss')),
        ),
        knn_train_dataloader=loader_cfg(folder, 'train'),
        knn_val_dataloader=loader_cfg(folder, 'val'),
    )
    return Config(settings | changes)


def save_checkpoint(cfg, path):
    torch.manual_seed(1)
    torch.save({'state_dict': MODELS.build(cfg.model).state_dict()}, path)
    return path


def test_weights_come_from_the_checkpoint(folder):
    """A backbone of zeros gives equal features, so that all vote for the class with more."""
    cfg = make_config(folder)
    path = save_checkpoint(cfg, folder / 'random.pth')
    assert evaluate_knn(cfg, path, k=3) == {'top1': 100, 'num_train': 12, 'num_test': 8}
    weights = torch.load(path)['state_dict']
    torch.save({'state_dict': {k: 0 * v for k, v in weights.items()}}, path)
    assert evaluate_knn(cfg, path, k=3)['top1'] == 50


def test_random_initialization_is_seeded(folder, monkeypatch):
    seen = []

    def record(backbone, loader, *args):
        seen.append(backbone.conv1.weight.detach().clone())
        return extract_features(backbone, loader, *args)

    monkeypatch.setattr('mmjoint.evaluation.knn.extract_features', record)
    for seed in (0, 0, 1):
        cfg = make_config(folder, randomness=dict(seed=seed))
        # A linear config's own checkpoint is not asked for here.
        cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='absent.pth')
        evaluate_knn(cfg, None, k=3)
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[4])
    # Kaiming's normal over the fan out of 64 x 7 x 7.
    assert seen[0].std().item() == pytest.approx(math.sqrt(2 / (64 * 49)), rel=0.05)


def test_configs_that_do_not_do(folder):
    cfg = make_config(folder)
    path = save_checkpoint(cfg, folder / 'random.pth')
    cfg.model.backbone.depth = 34
    with pytest.raises(CheckpointError, match=r'missing \(layer1\.2'):
        evaluate_knn(cfg, path)

    cfg = make_config(folder)
    cfg.pop('knn_val_dataloader')
    with pytest.raises(ValueError, match='has no knn_val_dataloader'):
        evaluate_knn(cfg, path)

    (folder / 'val/red').rename(folder / 'val/rose')
    with pytest.raises(ValueError, match='different classes .*red.*rose'):
        evaluate_knn(make_config(folder), path)


def test_tool(folder, run_tool):
    config, path = folder / 'config.py', folder / 'random.pth'
    cfg = make_config(folder / 'elsewhere')
    cfg.dump(config)
    save_checkpoint(cfg, path)

    out = folder / 'result.json'
    options = ['--data-root', folder, '--k', 3, '--json', out]
    status, printed, err = run_tool('knn.py', config, path, *options)
    assert status == 0, err
    assert 'top-1 100.00 %' in printed
    assert json.loads(out.read_text()) == {
        'top1': 100,
        'num_train': 12,
        'num_test': 8,
        'k': 3,
        'temperature': 0.07,
        'config': str(config),
        'checkpoint': str(path),
        'which': 'online',
    }

    status, printed, err = run_tool('knn.py', config, '--random-init', *options)
    assert status == 0, err
    assert 'INFO' not in printed + err  # 62 weights' initialization otherwise

    out.unlink()
    deeper = ['--cfg-options', 'model.backbone.depth=34']
    status, _, err = run_tool('knn.py', config, path, *options, *deeper)
    assert status == 1
    assert err.splitlines()[-1].startswith(f'error: {path}: the weights under')
    assert 'Traceback' not in err
    assert not out.exists()
