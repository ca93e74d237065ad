"""Configs that somebody may have sent are data."""

import math

import pytest
from mmengine.config import Config

from mmjoint.engine.dumped import read_dumped_config, refuse_code
from mmjoint.utils.literals import read_assignments

SETTINGS = dict(
    model=dict(type='mmpretrain.SimCLR', backbone=dict(depth=18, norm_cfg=None)),
    train_dataloader=dict(batch_size=4, pipeline=[dict(type='JointCrop', beta=-1.5)]),
    pairs=((1, 2), [dict(a='x')], ()),
    numbers=dict(low=-math.inf, high=1e-05, flag=True),
    odd={'0.a': dict(b=1), 'c d': [1]},
    words='a "quoted" line\nand another',
)


def test_what_mmengine_dumps_is_read(tmp_path):
    Config(SETTINGS).dump(tmp_path / 'config.py')
    cfg, unread = read_dumped_config(tmp_path / 'config.py')
    assert unread == []
    assert cfg.to_dict() == Config(SETTINGS).to_dict()
    refuse_code(cfg)


@pytest.mark.parametrize(
    'line',
    [
        "open('ran', 'w')",
        "a = open('ran', 'w')",
        "a = dict(b=[1, (open('ran', 'w'),)])",
        "import os; os.system('touch ran')",
        "a = [open('ran', 'w') for _ in 'a']",
        "a = f'{open(chr(114) + chr(97) + chr(110), chr(119))}'",
        "a = dict(**__import__('os').__dict__)",
        "a, b = 1, open('ran', 'w')",
        "_base_ = './evil.py'\na = (lambda: open('ran', 'w'))()",
        'a = 9 ** 9 ** 9 ** 9',
        'a = "a" * 10 ** 12',
    ],
)
def test_code_is_told_and_not_run(tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'evil.py').write_text("open('ran', 'w')")
    (tmp_path / 'config.py').write_text(f'{line}\nlast = 2\n')
    cfg, unread = read_dumped_config(tmp_path / 'config.py')
    assert cfg.last == 2
    assert len(unread) >= 1 and unread[0].startswith('line ')
    assert 'a' not in cfg
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('text', ['a = (', '(' * 5000, 'a = ' + '-' * 100_000 + '1', 'a\0 = 1'])
def test_text_that_is_none(text):
    values, unread = read_assignments(text)
    assert values == {} and len(unread) == 1


@pytest.mark.parametrize(
    'part',
    [
        dict(type='os.system', command='touch ran'),
        dict(type='mmengine.load', file='a.json'),
        dict(type='builtins.exec'),
        dict(type='mmengine.Config.fromfile', filename='evil.py'),
        dict(type='CustomDataset', ann_file='images.PKL'),
        dict(type='CustomDataset', ann_file='images.yaml'),
    ],
)
def test_types_that_are_no_classes_of_a_registry(part):
    cfg = Config(dict(train_dataloader=dict(dataset=dict(pipeline=[dict(type='A'), part]))))
    with pytest.raises(ValueError, match=r'train_dataloader\.dataset\.pipeline\.1\.'):
        refuse_code(cfg)
