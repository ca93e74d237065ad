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
    probe: tuple[Path, Path],
    run_tool: RunTool,
    tool_command: Callable[..., list[str]],
    tool_environment: dict[str, str],
    tmp_path: Path,
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

    two = tool_command('dist_test.sh', *probe, 2, '--out', tmp_path / 'two.json')
    done = subprocess.run(
        [*two, '--out-item', 'metrics'],
        env=tool_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / 'two.json').read_text())['accuracy/top1'] == accuracy
    assert not list(tmp_path.glob('*.part*'))


def test_backbone_of_the_probe_is_the_pretrained_one(
    probe: tuple[Path, Path], tmp_path: Path
) -> None:
    pretrained = torch.load(tmp_path / 'run/epoch_2.pth', weights_only=False)['state_dict']
    probed = torch.load(probe[1], weights_only=False)['state_dict']
    names = [name for name in probed if name.startswith('backbone.')]
    assert len(names) == 120
    for name in names:
        assert torch.equal(probed[name], pretrained[name]), name


@pytest.mark.parametrize(
    'config, checkpoint, message',
    [
        ('tiny.py', 'run/epoch_2.pth', 'tiny.py has no test set'),
        (
            'probe.py',
            'run/epoch_2.pth',
            'not a checkpoint of this ImageClassifier: weights 2 missing',
        ),
        ('probe.py', 'nothing.pth', 'nothing.pth: no such checkpoint'),
    ],
)
def test_errors(
    config: str, checkpoint: str, message: str, probe: tuple[Path, Path], run_tool: RunTool
) -> None:
    status, _, err = run_tool('test.py', config, checkpoint)
    assert status == 1
    assert message in err and 'Traceback' not in err


def test_probe_without_backbone(probe_config: Path, run_tool: RunTool) -> None:
    status, _, err = run_tool('train.py', probe_config)
    assert status == 1
    assert '--cfg-options model.backbone.init_cfg.checkpoint=CKPT' in err


@pytest.mark.parametrize('out', [['--out', 'x.json'], ['--out', 'x.txt', '--out-item', 'metrics']])
def test_out_with_wrong_suffix(out: list[str], probe_config: Path, run_tool: RunTool) -> None:
    status, _, err = run_tool('test.py', probe_config, 'x.pth', *out)
    assert status == 2
    assert '.pkl' in err
