import pickle
import re
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.torch
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmjoint.checkpoints import CheckpointError, load_backbone, read_checkpoint


class Probe(BaseModel):
    """A backbone and a head, the layout of mmpretrain's classifiers."""

    def __init__(self):
        super().__init__()
        self.backbone = make_backbone()
        self.head = nn.Linear(4, 2)

    def forward(self, x, mode='tensor'):
        return {'loss': self.head(self.backbone(x)).square().mean()}


def make_backbone():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def mm_weights():
    return {f'backbone.{key}': value for key, value in make_backbone().state_dict().items()}


@pytest.fixture
def save(tmp_path):
    def _save(content):
        path = tmp_path / 'checkpoint.pth'
        torch.save(content, path)
        return path

    return _save


def assert_same_weights(model, reference):
    assert model.state_dict().keys() == reference.state_dict().keys()
    for key, value in model.state_dict().items():
        assert torch.equal(value, reference.state_dict()[key]), key


def test_checkpoint_of_a_real_run(tmp_path):
    model = Probe()
    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=DataLoader([{'x': x} for x in torch.randn(8, 3)], batch_size=4),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        param_scheduler=dict(type='CosineAnnealingLR', T_max=1),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        experiment_name='test_checkpoint_of_a_real_run',
        log_level='ERROR',
    )
    MessageHub.get_current_instance().update_info('best_score', np.float32(0.5))
    runner.train()

    path = tmp_path / 'epoch_1.pth'
    checkpoint = read_checkpoint(path)
    assert checkpoint['meta']['epoch'] == 1
    assert 'train/loss' in checkpoint['message_hub']['log_scalars']
    assert checkpoint['message_hub']['runtime_info']['best_score'] == 0.5

    backbone = make_backbone()
    load_backbone(backbone, path)
    assert_same_weights(backbone, model.backbone)


def test_plain_state_dict(save):
    source, target = make_backbone(), make_backbone()
    load_backbone(target, save(source.state_dict()), prefix='')
    assert_same_weights(target, source)


def drop(weights):
    del weights['backbone.0.weight'], weights['backbone.1.running_mean']


def add(weights):
    weights['backbone.2.weight'] = torch.ones(2)


def reshape(weights):
    weights['backbone.0.weight'] = torch.ones(4, 5)


@pytest.mark.parametrize(
    'damage, message',
    [
        (drop, r'2 missing \(0\.weight, 1\.running_mean\)$'),
        (add, r'1 unexpected \(2\.weight\)$'),
        (reshape, r'1 of another shape \(0\.weight \(4, 5\) instead of \(4, 3\)\)$'),
    ],
)
def test_weights_that_do_not_fit(save, damage, message):
    weights = mm_weights()
    damage(weights)
    path = save({'state_dict': weights})
    model = make_backbone()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=message) as error:
        load_backbone(model, path)
    assert str(path) in str(error.value)
    assert '\n' not in str(error.value)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_long_lists_are_cut_and_counted(save):
    weights = mm_weights() | {f'backbone.extra{i}': torch.ones(1) for i in range(50)}
    with pytest.raises(CheckpointError, match=r'50 unexpected \(extra0, extra1, extra2, \.\.\.\)'):
        load_backbone(make_backbone(), save({'state_dict': weights}))


def test_other_prefix_is_named(save):
    weights = {f'module.encoder_q.{key}': value for key, value in mm_weights().items()}
    with pytest.raises(CheckpointError, match=r"no weight starts with 'backbone\.'.*encoder_q"):
        load_backbone(make_backbone(), save({'state_dict': weights}))


class Payload:
    """Unpickling it would create the file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def test_code_in_the_file_is_not_run(save, tmp_path):
    path = save({'state_dict': mm_weights(), 'meta': Payload(tmp_path / 'ran')})
    with pytest.raises(CheckpointError, match=f'{re.escape(str(path))}: holds [a-z_.]*open'):
        load_backbone(make_backbone(), path)
    assert not (tmp_path / 'ran').exists()


class AttributePayload:
    def __reduce__(self):
        return getattr, (OrderedDict, 'fromkeys')


def test_attributes_are_out_of_reach(save):
    assert read_checkpoint(save({'meta': AttributePayload()}))['meta'] is None


@pytest.mark.parametrize('protocol', [2, 4, 5])
def test_pickles_of_arrays(tmp_path, protocol):
    """As detectron2's: of several protocols, and of NumPy 1, which names its modules otherwise."""
    weights = {'conv.weight': np.random.rand(2, 3).astype('f'), 'count': np.array(7)}
    path = tmp_path / 'backbone.pkl'
    path.write_bytes(pickle.dumps({'model': weights, '__author__': 'x'}, protocol))
    read = read_checkpoint(path)
    if protocol == 2:
        path.write_bytes(path.read_bytes().replace(b'numpy._core', b'numpy.core'))
    for content in (read, read_checkpoint(path)):
        assert content['__author__'] == 'x'
        assert content['model']['conv.weight'].dtype == torch.float32
        for key, value in weights.items():
            assert np.array_equal(content['model'][key].numpy(), value)


def test_pickles_reach_nothing_but_arrays(tmp_path):
    path = tmp_path / 'backbone.pkl'
    for value in (Payload(tmp_path / 'ran'), np.random.default_rng, re.compile):
        path.write_bytes(pickle.dumps({'model': {'a': np.ones(2)}, 'more': value}))
        with pytest.raises(CheckpointError, match=r'backbone\.pkl: holds [\w.]+, which is neither'):
            read_checkpoint(path)
    assert not (tmp_path / 'ran').exists()


def test_safetensors(tmp_path):
    weights = make_backbone().state_dict()
    safetensors.torch.save_file(weights, tmp_path / 'backbone.safetensors')
    model = make_backbone()
    load_backbone(model, tmp_path / 'backbone.safetensors', prefix='')
    for key, value in model.state_dict().items():
        assert torch.equal(value, weights[key]), key


def test_trust_reads_what_is_refused_otherwise(save, tmp_path):
    path = save({'state_dict': mm_weights(), 'meta': Payload(tmp_path / 'ran')})
    assert read_checkpoint(path, trust=True)['state_dict'].keys() == mm_weights().keys()
    assert (tmp_path / 'ran').exists()


def test_mmengine_is_not_needed(tmp_path):
    """A converter's environment may have torch alone."""
    path = tmp_path / 'checkpoint.pth'
    torch.save({'state_dict': mm_weights(), 'history': HistoryBuffer([1.0], [1])}, path)
    program = (
        'import sys\n'
        'for name in ("mmengine", "mmcv", "mmpretrain"): sys.modules[name] = None\n'
        'from mmjoint.checkpoints import read_checkpoint\n'
        'print(len(read_checkpoint(sys.argv[1])["state_dict"]))'
    )
    result = subprocess.run(
        [sys.executable, '-c', program, str(path)], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == str(len(mm_weights()))


def test_unreadable_files(tmp_path, save):
    with pytest.raises(CheckpointError, match='no such checkpoint file'):
        read_checkpoint(tmp_path / 'absent.pth')
    with pytest.raises(CheckpointError, match='no such checkpoint file'):
        read_checkpoint(tmp_path)
    empty = tmp_path / 'empty.pth'
    empty.touch()
    text = tmp_path / 'text.pth'
    text.write_text('<html>not found</html>')
    whole = save({'state_dict': mm_weights()})
    cut = tmp_path / 'cut.pth'
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for path in (empty, text, cut):
        with pytest.raises(CheckpointError, match='not a readable PyTorch checkpoint') as error:
            read_checkpoint(path)
        assert str(path) in str(error.value)
        assert '\n' not in str(error.value)
    with pytest.raises(CheckpointError, match='holds a list'):
        read_checkpoint(save([1, 2]))


def test_bit_rot_is_named(save):
    """A flipped bit of a weight is another number; the archive's checksum tells."""
    path = save({'state_dict': mm_weights()})
    whole = bytearray(path.read_bytes())
    weight = mm_weights()['backbone.1.weight'].numpy().tobytes()
    whole[whole.index(weight) + 3] ^= 64
    path.write_bytes(whole)
    for trust in (False, True):
        with pytest.raises(CheckpointError, match=r'checkpoint\.pth: .*Bad CRC-32 for file .*data'):
            read_checkpoint(path, trust)


def test_files_without_checksums_are_read(save):
    """PyTorch leaves them out where it is told to."""
    torch.serialization.set_crc32_options(False)
    try:
        path = save({'state_dict': mm_weights()})
    finally:
        torch.serialization.set_crc32_options(True)
    assert read_checkpoint(path)['state_dict'].keys() == mm_weights().keys()


def test_views_of_one_storage_stay_one(save):
    base = torch.arange(12.0).reshape(3, 4)
    content = {'all': base, 'part': base.t()[1:3], 'tied': nn.Parameter(base), 'none': base[:0]}
    read = read_checkpoint(save(content))
    for key, value in content.items():
        assert torch.equal(read[key], value) and type(read[key]) is type(value), key
    read['all'][0, 1] = 50
    assert read['part'][0, 0] == read['tied'][0, 1] == 50


@pytest.mark.parametrize('levels', [20, 60])
def test_pickles_that_exhaust(tmp_path, levels):
    """Pairs of pairs of ... as a key, whose hash takes 2 ** levels steps, and as a value."""
    pairs = b''.join(b'h' + bytes([n]) + b'h' + bytes([n]) + b'\x86q' + bytes([n + 1]) + b'0'
                     for n in range(levels))  # fmt: skip
    last = b'h' + bytes([levels])
    start = b'\x80\x02)q\x000' + pairs
    path = tmp_path / 'a.pkl'
    for program in (start + b'}' + last + b'Ns.', start + b'}K\x01' + last + b's.'):
        path.write_bytes(program)
        if levels == 20 and program.endswith(b'K\x01' + last + b's.'):
            assert list(read_checkpoint(path)) == [1]
            continue
        with pytest.raises(CheckpointError, match=r'a\.pkl: holds '):
            read_checkpoint(path)


def test_containers_that_hold_themselves(save):
    content = {'state_dict': mm_weights()}
    content['state_dict']['self'] = content
    with pytest.raises(CheckpointError, match='holds a dict that holds itself'):
        read_checkpoint(save(content))
