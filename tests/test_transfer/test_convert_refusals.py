"""What cannot be converted is refused, with its reason, and no file is left."""

import pickle
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from resnets import without_weights

from mmjoint.checkpoints import CheckpointError, convert

TOOL = Path(__file__).resolve().parents[2] / 'transfer/convert.py'


def fails(checkpoint, tmp_path, message, **arguments):
    before = sorted(tmp_path.rglob('*'))
    for to, name in (('detectron2', 'out.pkl'), ('timm', 'out.safetensors')):
        with pytest.raises(CheckpointError, match=message) as error:
            convert(checkpoint, tmp_path / name, to, **arguments)
        assert str(checkpoint) in str(error.value)
        assert '\n' not in str(error.value)
    assert sorted(tmp_path.rglob('*')) == before


@pytest.fixture
def damaged(r18, tmp_path):
    """Save the checkpoint of ResNet-18 with some of its weights changed."""

    def _damaged(change):
        content = torch.load(r18[0], weights_only=True)
        content['state_dict'] = change(content['state_dict'])
        torch.save(content, tmp_path / 'damaged.pth')
        return tmp_path / 'damaged.pth'

    return _damaged


def test_wrong_prefix_is_refused(damaged, tmp_path):
    path = damaged(lambda w: {f'model.{key}': value for key, value in w.items()})
    fails(
        path,
        tmp_path,
        r'no ResNet under a known prefix; the file has model\.backbone\.conv1\.weight',
    )


def test_missing_last_stage_is_refused(damaged, tmp_path):
    path = damaged(lambda w: {key: value for key, value in w.items() if 'layer4' not in key})
    fails(path, tmp_path, r'ResNet-18, .*: 30 missing \(layer4\.0\.conv1\.weight, ')


def test_missing_stem_is_refused(damaged, tmp_path):
    path = damaged(lambda w: {key: value for key, value in w.items() if key[:12] != 'backbone.con'})
    fails(path, tmp_path, r'ResNet-18, .*: 1 missing \(conv1\.weight\)')


def test_missing_counter_is_refused(damaged, tmp_path):
    path = damaged(lambda w: {k: v for k, v in w.items() if 'bn1.num_batches' not in k})
    fails(path, tmp_path, r'9 missing \(bn1\.num_batches_tracked, ')


def test_unexpected_key_is_refused(damaged, tmp_path):
    path = damaged(lambda w: w | {'backbone.layer1.2.conv1.weight': torch.ones(64, 64, 3, 3)})
    fails(path, tmp_path, r'ResNet-18, .*: 1 unexpected \(layer1\.2\.conv1\.weight\)')


def test_other_shape_is_refused(damaged, tmp_path):
    path = damaged(lambda w: w | {'backbone.layer4.0.conv1.weight': torch.ones(1024, 256, 3, 3)})
    fails(path, tmp_path, r'conv1\.weight \(1024, 256, 3, 3\) instead of \(512, 256, 3, 3\)')


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_values_that_are_not_finite_are_refused(damaged, tmp_path, value):
    path = damaged(lambda w: w | {'backbone.bn1.running_var': torch.full((64,), value)})
    fails(path, tmp_path, r'1 not finite: NaN or infinity \(bn1\.running_var\)$')


def test_other_networks_are_refused(tmp_path):
    path = tmp_path / 'other.pth'
    torch.save({'state_dict': timm.create_model('vit_tiny_patch16_224').state_dict()}, path)
    fails(path, tmp_path, r'no ResNet under a known prefix; the file has cls_token')
    for name in ('resnet152', 'wide_resnet50_2', 'resnext50_32x4d'):
        shapes = {key: value.shape for key, value in without_weights(name).state_dict().items()}
        weights = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}
        torch.save(weights, path)
        fails(
            path,
            tmp_path,
            'ResNet-101, .* unexpected'
            if name == 'resnet152'
            else 'ResNet-50, .* of another shape',
        )


def test_another_depth_than_asked_for_is_refused(r18, tmp_path):
    fails(r18[0], tmp_path, 'holds a ResNet-18; expected 50', depth=50)
    assert convert(r18[0], tmp_path / 'out.pkl', 'detectron2', depth=18)['depth'] == 18


def test_absent_momentum_backbone_is_refused(r18, tmp_path):
    fails(r18[0], tmp_path, 'no momentum backbone; it has online under backbone', which='momentum')


@pytest.mark.parametrize('suffix', ['.pth', '.pkl', '.safetensors'])
def test_truncated_file_is_refused(r18, tmp_path, suffix):
    whole = tmp_path / f'whole{suffix}'
    to = {'.pth': 'torchvision', '.pkl': 'detectron2', '.safetensors': 'timm'}[suffix]
    convert(r18[0], whole, to)
    cut = tmp_path / f'cut{suffix}'
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    fails(cut, tmp_path, 'not a readable')


class Payload:
    """Unpickling it makes the file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, 'w')


def test_malicious_pickles_are_refused(r18, tmp_path):
    ran = tmp_path / 'ran'
    content = torch.load(r18[0], weights_only=True) | {'hook': Payload(ran)}
    torch.save(content, tmp_path / 'evil.pth')
    fails(tmp_path / 'evil.pth', tmp_path, r'holds [\w.]*open, which is neither')
    weights = {'stem.conv1.weight': np.ones(3), 'hook': Payload(ran)}
    (tmp_path / 'evil.pkl').write_bytes(pickle.dumps({'model': weights, '__author__': 'x'}))
    fails(tmp_path / 'evil.pkl', tmp_path, r'holds [\w.]*open, which is neither')
    assert not ran.exists()

    # A user who trusts the file gets it read, and the code in it run.
    convert(tmp_path / 'evil.pth', tmp_path / 'out.pth', 'mm', trust=True)
    assert ran.exists()


def test_output_that_cannot_be_is_refused(r18, tmp_path):
    with pytest.raises(CheckpointError, match=r'out\.pth: detectron2 reads \.pkl files'):
        convert(r18[0], tmp_path / 'out.pth', 'detectron2')
    with pytest.raises(
        CheckpointError, match="'keras' is not a target; expected one of detectron2"
    ):
        convert(r18[0], tmp_path / 'out.pth', 'keras')
    with pytest.raises(CheckpointError, match='would take the place of the checkpoint'):
        convert(r18[0], r18[0], 'mm')


def test_what_was_there_survives_a_failure(r18, tmp_path, damaged, full_disk):
    out = tmp_path / 'out.pkl'
    convert(r18[0], out, 'detectron2')
    before = out.read_bytes()
    with pytest.raises(CheckpointError):
        convert(damaged(lambda w: {}), out, 'detectron2')
    assert out.read_bytes() == before
    with full_disk(), pytest.raises(OSError, match=r'cannot write .*out\.pkl: '):
        convert(r18[0], out, 'detectron2')
    assert out.read_bytes() == before and list(tmp_path.glob('.*')) == []


def test_command_refuses_in_one_line(r18, tmp_path, monkeypatch, capsys):
    arguments = [r18[0], tmp_path / 'o.pkl', '--to', 'detectron2', '--which', 'momentum']
    monkeypatch.setattr(sys, 'argv', ['convert.py', *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOL), run_name='__main__')
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'error: {r18[0]}: has no momentum backbone')
    assert not (tmp_path / 'o.pkl').exists()
