import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import mmengine
import pytest
import torch

RunTool = Callable[..., tuple[int, str, str]]


@pytest.fixture
def probe(
    pretrain_config: Path, probe_config: Path, run_tool: RunTool, tmp_path: Path
) -> tuple[Path, Path]:
    """A linear probe trained on a pretrained backbone: config and checkpoint."""
    status, _, err = run_tool('train.py', pretrain_config, '--work-dir', 'run')
    assert status == 0, err
    backbone = f'model.backbone.init_cfg.checkpoint={tmp_path / "run/epoch_2.pth"}'
    status, _, err = run_tool(
        'train.py', probe_config, '--work-dir', 'probe', '--cfg-options', backbone
    )
    assert status == 0, err
    return probe_config, tmp_path / 'probe/epoch_1.pth'


def accuracy_of(predictions: list[dict]) -> float:
    hits = [bool(item['pred_label'] == item['gt_label']) for item in predictions]
    return 100 * sum(hits) / len(hits)


def test_metrics_and_predictions(
    probe: tuple[Path, Path], run_tool: RunTool, tmp_path: Path
) -> None:
    metrics = ['--out', tmp_path / 'metrics.json', '--out-item', 'metrics']
    status, _, err = run_tool('test.py', *probe, *metrics)
    assert status == 0, err
    accuracy = json.loads((tmp_path / 'metrics.json').read_text())['accuracy/top1']
    status, _, err = run_tool('test.py', *probe, '--out', 'predictions.pkl')
    assert status == 0, err
    predictions = mmengine.load(tmp_path / 'predictions.pkl')
    assert len(predictions) == 48
    assert accuracy == pytest.approx(accuracy_of(predictions), abs=1e-4)
    assert not list(tmp_path.glob('*.part*'))

    # The backbone of the probe is the pretrained one.
    pretrained = torch.load(tmp_path / 'run/epoch_2.pth', weights_only=False)['state_dict']
    probed = torch.load(probe[1], weights_only=False)['state_dict']
    names = [name for name in probed if name.startswith('backbone.')]
    assert len(names) == 120
    for name in names:
        assert torch.equal(probed[name], pretrained[name]), name

    for config, checkpoint, message in (
        ('tiny.py', 'run/epoch_2.pth', 'tiny.py has no test set'),
        ('probe.py', 'run/epoch_2.pth', 'not a checkpoint of this ImageClassifier: weights 2 miss'),
        ('probe.py', 'nothing.pth', 'nothing.pth: no such checkpoint'),
    ):
        status, _, err = run_tool('test.py', config, checkpoint)
        assert status == 1
        assert message in err and 'Traceback' not in err


@pytest.mark.slow
def test_two_processes_measure_what_one_does(
    probe: tuple[Path, Path],
    run_tool: RunTool,
    tool_command: Callable[..., list[str]],
    tool_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    item = ['--out-item', 'metrics']
    status, _, err = run_tool('test.py', *probe, '--out', tmp_path / 'one.json', *item)
    assert status == 0, err
    done = subprocess.run(
        [*tool_command('dist_test.sh', *probe, 2, '--out', tmp_path / 'two.json'), *item],
        env=tool_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    one, two = (json.loads((tmp_path / f'{name}.json').read_text()) for name in ('one', 'two'))
    assert two['accuracy/top1'] == one['accuracy/top1']


def test_probe_without_backbone(probe_config: Path, run_tool: RunTool) -> None:
    status, _, err = run_tool('train.py', probe_config)
    assert status == 1
    assert '--cfg-options model.backbone.init_cfg.checkpoint=CKPT' in err


@pytest.mark.parametrize('out', [['--out', 'x.json'], ['--out', 'x.txt', '--out-item', 'metrics']])
def test_out_with_wrong_suffix(out: list[str], probe_config: Path, run_tool: RunTool) -> None:
    status, _, err = run_tool('test.py', probe_config, 'x.pth', *out)
    assert status == 2
    assert '.pkl' in err
