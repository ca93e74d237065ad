"""What looks at a trained backbone, from the command to the numbers, and what watches a run."""

import json

import pytest
import torch
from mmengine.config import Config

from mmjoint.checkpoints import read_checkpoint
from mmjoint.evaluation import evaluate_protocols, knn_accuracy
from mmjoint.evaluation.logistic import fit_logistic_regressions
from mmjoint.utils.device import choose_device


@pytest.fixture
def trained(pretrain_config, run_tool, tmp_path):
    """A config and a checkpoint of it, trained for an epoch."""
    options = ['--cfg-options', 'train_cfg.max_epochs=1']
    status, _, err = run_tool('train.py', pretrain_config, '--work-dir', 'run', *options)
    assert status == 0, err
    return pretrain_config, tmp_path / 'run/epoch_1.pth'


def test_the_device_that_is_chosen(device):
    chosen = choose_device()
    assert chosen.type == device and (chosen.index is not None) is (device != 'cpu')
    assert torch.zeros(1, device=chosen).device == chosen


def test_evaluate_and_knn(trained, labelled, run_tool, tmp_path):
    arguments = [*trained, '--data', labelled, '--k', 3, '--draws', 2]
    status, _, err = run_tool('evaluate.py', *arguments, '--json', 'a.json')
    assert status == 0, err
    results = json.loads((tmp_path / 'a.json').read_text())['results']
    assert results['knn']['top1'] > 50 and results['linear']['top1'] > 50  # chance is 33
    assert set(results['few-shot']) == {'1%', '10%'}


def test_accuracies_are_those_of_the_cpu(device, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 5
    centers = torch.randn(5, 16, generator=generator)
    features = centers[labels] + 1.2 * torch.randn(400, 16, generator=generator)
    split = (features[:300], labels[:300]), (features[300:], labels[300:])
    there = evaluate_protocols(split, draws=2)
    monkeypatch.setattr('mmjoint.evaluation.evaluate.choose_device', lambda: torch.device('cpu'))
    here = evaluate_protocols(split, draws=2)
    assert there['knn'] == pytest.approx(here['knn'])
    assert there['linear']['top1'] == pytest.approx(here['linear']['top1'], abs=1)
    few = [part['few-shot']['10%']['top1'] for part in (there, here)]
    assert few[0] == pytest.approx(few[1], abs=1)


@pytest.mark.parametrize('shape', [(2, 60, 8), (1, 20, 40)])
def test_regressions_are_those_of_the_cpu(device, shape):
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    labels = (torch.arange(shape[1]) % 3).repeat(shape[0], 1)
    place = choose_device()
    found = fit_logistic_regressions(features.to(place), labels.to(place), 3, [0.1, 0.01])
    expected = fit_logistic_regressions(features, labels, 3, [0.1, 0.01])
    for one, other in zip(found, expected, strict=True):
        assert one.device == place
        torch.testing.assert_close(one.cpu(), other, rtol=1e-2, atol=2e-3)


def test_neighbors_are_those_of_the_cpu(device):
    generator = torch.Generator().manual_seed(0)
    data = [
        torch.randn(200, 8, generator=generator),
        torch.randint(0, 7, (200,), generator=generator),
        torch.randn(50, 8, generator=generator),
        torch.randint(0, 7, (50,), generator=generator),
    ]
    place = choose_device()
    there = knn_accuracy(*(part.to(place) for part in data), k=5, chunk=64)
    assert there == knn_accuracy(*data, k=5)


def test_sdf(trained, run_tool, tmp_path):
    arguments = ['--num-images', 10, '--batch-size', 4, '--beta', 0, '--fixed-ratio', 1, 4]
    arguments += ['--json', 'a.json']
    status, _, err = run_tool('measure_sdf.py', *trained, *arguments)
    assert status == 0, err
    rows = json.loads((tmp_path / 'a.json').read_text())['rows']
    settings = {row['setting'] for row in rows}
    assert settings == {'beta 0', 'area ratio 1:1', 'area ratio 1:4'}
    assert all(-1 <= row['sdf'] <= 1 for row in rows)


def test_browse(trained, run_tool, tmp_path):
    status, _, err = run_tool('browse_views.py', trained[0], '--out', 'a.html')
    assert status == 0, err
    assert (tmp_path / 'a.html').stat().st_size > 10_000


def test_hooks_watch_a_run(pretrain_config, labelled, run_tool, tmp_path):
    cfg = Config.fromfile(pretrain_config)
    cfg.custom_hooks = [
        dict(type='KNNHook', interval=1, folder=str(labelled), k=3),
        dict(type='CollapseHook', interval=2),
        dict(type='PairStatsHook', interval=2),
    ]
    cfg.dump(tmp_path / 'watched.py')
    status, _, err = run_tool('train.py', 'watched.py', '--work-dir', 'run')
    assert status == 0, err
    (path,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    names = {name for line in path.read_text().splitlines() for name in json.loads(line)}
    assert {'knn/top1', 'loss'} <= names
    assert any(name.startswith('collapse/') for name in names)


def test_convert(pretrain_config, run_tool, tmp_path):
    """What was trained on the device is read without it, a ResNet-18 of the usual width."""
    wide = ['model.backbone.base_channels=64', 'model.backbone.stem_channels=64']
    options = ['--cfg-options', *wide, 'model.neck.in_channels=512', 'train_cfg.max_epochs=1']
    status, _, err = run_tool('train.py', pretrain_config, '--work-dir', 'run', *options)
    assert status == 0, err
    path = tmp_path / 'run/epoch_1.pth'
    status, _, err = run_tool('../transfer/convert.py', path, 'a.pth', '--to', 'torchvision')
    assert status == 0, err
    found, trained = (read_checkpoint(file) for file in (tmp_path / 'a.pth', path))
    assert found and all(value.device.type == 'cpu' for value in found.values())
    trained = trained['state_dict']
    assert torch.equal(found['conv1.weight'], trained['backbone.conv1.weight'].cpu())
