"""tools/measure_sdf.py: table, JSON and plot, and one line for bad input."""

import json
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from PIL import Image


@pytest.fixture
def checkpoint(pretrain_config, tmp_path):
    cfg = Config.fromfile(pretrain_config)
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), path)
    return path


def test_table_json_and_plot(pretrain_config, checkpoint, run_tool, tmp_path):
    arguments = ['--num-images', 10, '--batch-size', 4, '--fixed-ratio', 1, 4, '--beta', 'None', -2]
    status, out, err = run_tool(
        'measure_sdf.py',
        pretrain_config,
        checkpoint,
        *arguments,
        '--layer',
        'projector',
        '--json',
        'a.json',
        '--plot',
        'a.png',
        '--seed',
        5,
    )
    assert status == 0, err
    result = json.loads((tmp_path / 'a.json').read_text())
    rows = result['rows']
    assert [row['setting'] for row in rows] == [
        'area ratio 1:1',
        'area ratio 1:4',
        'beta None (independent)',
        'beta -2',
    ]
    assert result['layer'] == 'projector' and result['seed'] == 5
    assert all(row['num_images'] == 10 for row in rows)
    table = {line[:32].strip(): line[32:].split() for line in out.splitlines()}
    for row in rows:
        assert float(table[row['setting']][0]) == pytest.approx(row['sdf'], abs=5e-5)
        assert float(table[row['setting']][1]) == pytest.approx(row['standard_error'], abs=5e-5)
    told = re.search('falls from each to the next with the ratio: (True|False)', out)[1]
    assert told == str(result['monotonic']['fixed_ratio']) == str(rows[0]['sdf'] > rows[1]['sdf'])
    assert 'ETA' in err and Image.open(tmp_path / 'a.png').width > 1000


@pytest.mark.parametrize(
    'arguments,message',
    [
        (
            ['--cfg-options', 'model.backbone.depth=34'],
            r'epoch_1.pth: the weights under .backbone.. do not fit ResNet: .*missing',
        ),
        (['--json', 'nowhere/a.json'], 'cannot write nowhere/a.json'),
        (['--plot', 'nowhere/a.png'], 'cannot write nowhere/a.png'),
        (['--fixed-ratio', '20'], 'ratio must be from 1 to high / low = 12.5'),
        (['--beta', 'JointBlur=0'], 'the views hold no JointBlur'),
        (['--images', 'nowhere'], 'nowhere: no such folder of images'),
        (['--images', 'broken'], 'broken image .*broken/[ab].png'),
        (['--num-images', '1'], 'num_images must be at least 2'),
        (['--vary', 'JointCrop.overlap', '0.5', '2'], 'overlap must lie in .*got 2'),
        (
            ['--vary', 'JointCrop.overlap', 'open("a")'],
            '--vary JointCrop.overlap: .* is not a value',
        ),
    ],
)
def test_bad_input(pretrain_config, checkpoint, run_tool, tmp_path, arguments, message):
    (tmp_path / 'broken').mkdir()
    for name in 'ab':
        (tmp_path / f'broken/{name}.png').write_bytes(b'')
    status, out, err = run_tool(
        'measure_sdf.py', pretrain_config, checkpoint, '--json', 'a.json', *arguments
    )
    assert status == 1 and out == ''
    (line,) = [line for line in err.splitlines() if line.startswith('error: ')]
    assert re.search(message, line), line
    assert not (tmp_path / 'a.json').exists()


def test_a_config_without_views(probe_config, checkpoint, run_tool):
    status, _, err = run_tool('measure_sdf.py', probe_config, checkpoint)
    assert status == 1 and re.search('error: .*probe.py: the training pipeline makes no views', err)


def test_plot_of_an_unknown_kind(pretrain_config, checkpoint, run_tool):
    status, _, err = run_tool('measure_sdf.py', pretrain_config, checkpoint, '--plot', 'a.gif')
    assert status == 2 and 'must end with one of .pdf, .png, .svg' in err
