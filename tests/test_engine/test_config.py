"""Configs by the name under which a package ships them."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hub import get_config

from mmjoint.engine import read_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
NAME = 'simclr/simclr_resnet18_jointcrop0-1xb32-coslr-10e_scenes.py'


def test_shipped_configs_have_a_name(tmp_path):
    """By our reader, by mmengine's, and as a base: the same config, with no scope in it."""
    expected = read_config(CONFIGS / NAME).to_dict()
    assert read_config(f'mmjoint::{NAME}').to_dict() == expected
    assert get_config(f'mmjoint::{NAME}').to_dict() == expected
    (tmp_path / 'child.py').write_text(
        f"_base_ = ['mmjoint::{NAME}']\ntrain_dataloader = dict(batch_size=8)\n"
    )
    assert '_scope_' in str(Config.fromfile(tmp_path / 'child.py').to_dict())  # mmengine's doing
    expected['train_dataloader']['batch_size'] = 8
    assert read_config(tmp_path / 'child.py').to_dict() == expected


@pytest.mark.parametrize(
    'name, message',
    [
        ('mmjoint::simclr/no_such.py', r'no config mmjoint::simclr/no_such.py: there is no file /'),
        ('mmnothing::a/b.py', "no config mmnothing::a/b.py: there is no package 'mmnothing' here"),
        ('::a.py', "there is no package '' here"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(ValueError, match=message):
        read_config(name)
