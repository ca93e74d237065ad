import json
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmjoint.evaluation import knn_accuracy, labelled_features
from mmjoint.paper.studies import STUDIES
from mmjoint.paper.tables import TABLES

SIZE = ['--epochs', 2, '--batch-size', 8, '--size', 32, '--width', 4]
NAME = 'mocov1_resnet50_{}8xb32-steplr-200e_coco'


@pytest.fixture(scope='session')
def labelled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training and 9 validation images of three classes that differ in their mean color."""
    root = tmp_path_factory.mktemp('labelled')
    rng = np.random.default_rng(0)
    for split, number in (('train', 8), ('val', 3)):
        for label in range(3):
            folder = root / split / f'class_{label}'
            folder.mkdir(parents=True)
            for i in range(number):
                image = rng.integers(0, 128, (40, 40, 3), dtype=np.uint8)
                image[..., label] += 127
                cv2.imwrite(str(folder / f'{i}.png'), image)
    return root


def arguments(folder: Path, *more: object) -> list:
    return [
        *('--table', 6, '--methods', 'mocov1', '--run', '--scale', 'small', '--seeds', 1),
        *('--data-root', folder, '--work-dirs', 'runs', *SIZE, *more),
    ]


def test_list(run_tool):
    status, out, _ = run_tool('paper.py', '--list')
    assert status == 0
    names = [table.name for table in TABLES] + [study.name for study in STUDIES]
    assert [line.split()[0] for line in out.splitlines()] == names
    assert '5      Table 5: linear accuracy, Tiny-ImageNet, ResNet-18, by beta (24 rows)' in out


def test_table(run_tool):
    status, out, _ = run_tool('paper.py', '--table', 5, '--methods', 'BYOL')
    assert status == 0
    assert out.count('bash tools/dist_train.sh configs/byol/byol_resnet18_') == 6
    assert out.count('configs/benchmarks/resnet18_4xb128-linear-steplr-100e_tiny-imagenet.py') == 6
    assert 'BYOL J-Crop(-2) 51.02 +2.11' in ' '.join(out.split())
    assert 'SimCLR' not in out and 'no results found' in out


def test_beta(run_tool):
    status, out, _ = run_tool(
        'paper.py', '--table', 5, '--methods', 'BYOL', '--beta', 'JointCrop=3'
    )
    assert status == 0 and out.count(' 4 --beta JointCrop=3\n') == 6


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (['--table', 9], 'error: --table 9: there is no such table; there are 1, 2, 3'),
        (['--table', 7, '--methods', 'DINO'], 'error: --methods DINO: table 7 has MoCo v1'),
        (['--table', 7, '--run'], 'error: --run needs --scale small'),
        (
            ['--table', 3, '--run', '--scale', 'small'],
            'error: --table 3 --run: the table is of detectors; its commands run them',
        ),
        (['--table', 7, '--beta', 0, 1], 'error: --beta: a run has one setting, got 2: 0, 1'),
        (['--table', 7, '--beta', 'hard'], "error: --beta: 'hard' is not a beta"),
        (['--table', 7, '--list'], 'error: argument --list: not allowed with argument --table'),
        (['--study', 'x'], 'error: --study x: there is no such study; there are simclr-'),
        (['--study', 'simclr-tiny', '--width', 8], 'error: --width: a study sets its size and'),
        (['--table', 'blur', '--beta', 0], 'error: --beta: the rows of --table blur set it'),
        (['--figure', 5], 'error: work_dirs: holds no run of SimSiam in table 5; --run makes'),
        (['--table', 7, '--run', '--scale', 'small', '--seeds', 0], 'error: --seeds must be at'),
        (
            ['--table', 7, '--run', '--scale', 'small', '--data-root', 'nowhere'],
            'error: --data-root nowhere: expected a folder with train/CLASS/IMAGE',
        ),
    ],
)
def test_bad_input(run_tool, given, message):
    status, _, err = run_tool('paper.py', *given)
    assert status != 0
    assert message in err.splitlines()[-1]


@pytest.mark.slow
def test_run(run_tool, labelled_folder, tmp_path):
    status, out, err = run_tool('paper.py', *arguments(labelled_folder, '--jobs', 2))
    assert status == 0, err + out
    assert '[2/2] MoCo v1' in out and 'left: 0:00:00' in out
    folders = {joint: tmp_path / 'runs' / NAME.format(joint) for joint in ('', 'jointcrop0-')}
    results = {
        joint: json.loads((folder / 'seed0/result.json').read_text())
        for joint, folder in folders.items()
    }
    for joint, result in results.items():
        assert result['config'] == f'mocov1/{NAME.format(joint)}'
        assert (result['seed'], result['iterations']) == (0, 6)  # two epochs of three batches
        assert result['scale']['data_root'] == labelled_folder.name
        # The accuracy is that of the checkpoint which lies beside it.
        seed = folders[joint] / 'seed0'
        cfg = Config.fromfile(seed / 'config.py')
        train, test = labelled_features(cfg, seed / 'run/epoch_2.pth')
        assert result['knn'] == knn_accuracy(*train, *test)['top1']
    # The joint number came through: the weights differ.
    weights = [
        torch.load(folder / 'seed0/run/epoch_2.pth', weights_only=False)['state_dict']
        for folder in folders.values()
    ]
    assert not torch.equal(*(w['backbone.layer4.1.conv2.weight'] for w in weights))
    gain = results['jointcrop0-']['linear'] - results['']['linear']
    assert f'MoCo v1 J-Crop(0) {results["jointcrop0-"]["linear"]:.2f} {gain:+.2f} 1' in ' '.join(
        out.split()
    )

    # Nothing is done twice.
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*') if path.is_file()}
    status, out, _ = run_tool('paper.py', *arguments(labelled_folder))
    assert status == 0 and out.count('(earlier)') == 2
    assert times == {path: path.stat().st_mtime_ns for path in times}

    # Neither results nor runs of other settings are mixed in.
    status, _, err = run_tool('paper.py', *arguments(labelled_folder, '--amp'))
    assert status == 1 and 'holds a run with other settings' in err
    (folders[''] / 'seed0/result.json').unlink()
    status, _, err = run_tool('paper.py', *arguments(labelled_folder, '--width', 8))
    assert status == 1 and 'holds a run with other settings' in err


@pytest.mark.slow
def test_goes_on_where_it_was_interrupted(
    run_tool, tool_command, tool_environment, labelled_folder, tmp_path
):
    """A training that ended after two of four epochs is not started anew."""
    given = [*arguments(labelled_folder), '--epochs', 4]
    assert run_tool('paper.py', *given)[0] == 0
    seed = tmp_path / 'runs' / NAME.format('') / 'seed0'
    shutil.rmtree(seed / 'run')
    (seed / 'result.json').unlink()
    (seed / 'train.log').unlink()
    halfway = ['--work-dir', seed / 'run', '--cfg-options', 'train_cfg.max_epochs=2']
    command = tool_command('train.py', seed / 'config.py', *halfway)
    subprocess.run(command, env=tool_environment, check=True, capture_output=True)
    assert (seed / 'run/epoch_2.pth').is_file()

    status, out, _ = run_tool('paper.py', *given)
    assert status == 0 and out.count('(earlier)') == 1
    log = (seed / 'train.log').read_text()
    assert 'Epoch(train) [3]' in log and 'Epoch(train) [2]' not in log
    assert json.loads((seed / 'result.json').read_text())['iterations'] == 12


@pytest.mark.slow
def test_table_8_and_figure_5(run_tool, labelled_folder, tmp_path):
    """Times are taken one run after the other, without evaluation; losses become curves."""
    size = ['--batch-size', 8, '--size', 32, '--width', 4, '--data-root', labelled_folder]
    run = ['--run', '--scale', 'small', '--work-dirs', 'runs', *size]
    status, out, err = run_tool('paper.py', '--table', 8, '--seeds', 1, '--epochs', 1, *run)
    assert status == 0, err
    result = json.loads(next(tmp_path.rglob('*_jointblur0-*/seed0/result.json')).read_text())
    assert 'linear' not in result and result['seconds'] > 0 and result['iterations'] == 3
    gain = f'{result["seconds"]:.2f}'
    assert f'MoCo v1 J-Blur(0) {gain}' in ' '.join(out.split())

    given = ['--figure', 5, '--seeds', 1, '--epochs', 1, '--out', 'figure.svg', *run]
    status, out, err = run_tool('paper.py', *given)
    assert status == 0, err
    losses = [
        json.loads(path.read_text())['last_loss']
        for path in sorted(tmp_path.rglob('simsiam*/seed0/result.json'))
    ]
    assert len(losses) == 6 and all(f'{loss:8.4f}' in out for loss in losses)
    assert '<svg' in (tmp_path / 'figure.svg').read_text()
