"""tools/evaluate.py end to end on tiny class folders."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS


@pytest.fixture
def labelled(image_folder: Path, tmp_path: Path) -> Path:
    """`image_folder` as both splits."""
    (tmp_path / 'data').mkdir()
    for split in ('train', 'val'):
        (tmp_path / 'data' / split).symlink_to(image_folder)
    return tmp_path / 'data'


@pytest.fixture
def checkpoint(pretrain_config: Path, tmp_path: Path) -> Path:
    init_default_scope('mmpretrain')
    model = MODELS.build(Config.fromfile(pretrain_config).model)
    (tmp_path / 'run').mkdir()
    path = tmp_path / 'run/epoch_3.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(epoch=3, iter=18)), path)
    return path


def test_all_protocols(run_tool, pretrain_config, checkpoint, labelled, tmp_path):
    args = (pretrain_config, checkpoint, '--data', labelled, '--draws', 2, '--k', 5)
    status, out, err = run_tool('evaluate.py', *args, '--cache', tmp_path / 'cache')
    assert status == 0, err
    result = json.loads((checkpoint.parent / 'evaluation.json').read_text())
    assert result['sha256'] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert (result['epoch'], result['iter']) == (3, 18) and result['versions']['torch']
    assert result['data'] == [str(labelled / 'train'), str(labelled / 'val')]
    results = result['results']
    # Images of one color each, tested on what they were trained on.
    assert results['knn']['top1'] > 90 and results['linear']['top1'] == 100
    assert results['few-shot']['1%']['num_train'] == 3 * 1
    assert results['few-shot']['10%']['num_train'] == 3 * 2
    for word in ('kNN: top1', 'linear: top1 100.00 %', '1% of the labels', 'evaluation.json'):
        assert word in out

    # A second time from the cache: the same numbers; a changed image makes other features.
    assert len(list((tmp_path / 'cache').iterdir())) == 1
    (checkpoint.parent / 'evaluation.json').unlink()
    status, _, err = run_tool('evaluate.py', *args, '--cache', tmp_path / 'cache')
    assert status == 0, err
    again = json.loads((checkpoint.parent / 'evaluation.json').read_text())
    assert again == result and len(list((tmp_path / 'cache').iterdir())) == 1


def test_random_init(run_tool, pretrain_config, labelled, tmp_path):
    args = (pretrain_config, '--random-init', '--data', labelled, '--protocol', 'knn', '--k', 5)
    status, out, err = run_tool('evaluate.py', *args, '--json', tmp_path / 'random.json')
    assert status == 0, err
    result = json.loads((tmp_path / 'random.json').read_text())
    assert result['checkpoint'] is None and result['sha256'] is None
    assert list(result['results']) == ['knn'] and 'linear' not in out


def test_bad_input(run_tool, pretrain_config, checkpoint, labelled, tmp_path):
    args = (pretrain_config, checkpoint, '--data', labelled)
    broken = tmp_path / 'broken'
    for split in ('train', 'val'):
        (broken / split / 'a').mkdir(parents=True)
        (broken / split / 'a/no_image.png').write_bytes(b'not a picture')
    for options, words in (
        (('--cfg-options', 'model.backbone.depth=34'), [str(checkpoint), 'missing']),
        (('--json', tmp_path / 'nowhere/x.json'), ['cannot write', 'nowhere']),
        (('--data', tmp_path / 'run'), ['expected a folder with train/CLASS/IMAGE']),
        (('--data', broken), ['no_image.png']),
    ):
        status, _, err = run_tool('evaluate.py', *args, *options)
        assert status == 1
        error = err.splitlines()[-1]
        assert error.startswith('error: ') and 'Traceback' not in err
        assert all(word in error for word in words), error
        assert not (checkpoint.parent / 'evaluation.json').exists()
    status, _, err = run_tool('evaluate.py', *args, '--protocol', 'knn,svm')
    assert status == 2
    assert err.splitlines()[-1].endswith('--protocol svm: choose from knn,linear,few-shot')
