import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

import mmjoint  # noqa: F401  registers what the configs name

FOLDER = Path(__file__).resolve().parents[2] / 'configs'


@functools.cache
def read(name: str) -> Config:
    (path,) = FOLDER.glob(f'*/{name}.py')
    # A list that a config appends to keeps plain dicts; made anew, all have attributes.
    return Config(Config.fromfile(path).to_dict())


@pytest.fixture(scope='session')
def load() -> Callable[[str], Config]:
    """Read a config of the repository by its name; the same object every time."""
    return read


@pytest.fixture(autouse=True)
def scope():
    """Build as the tools do, in the scope that every config names."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield
