import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

import mmjoint  # noqa: F401  registers what the configs name

FOLDER = Path(__file__).resolve().parents[2] / 'configs'


# Named parts that the bases offer to variants; the settings are made of them, nothing reads them.
PARTS = (
    *('views', 'original', 'global_views', 'local_views', 'pair_views', 'jigsaw_view'),
    *('train_pipeline', 'warmup', 'cosine', 'steps', 'decay'),
)


@functools.cache
def read(name: str) -> Config:
    (path,) = FOLDER.glob(f'*/{name}.py')
    # A list that a config appends to keeps plain dicts; made anew, all have attributes.
    cfg = Config(Config.fromfile(path).to_dict())
    for part in PARTS:
        cfg.pop(part, None)
    cfg.model.data_preprocessor = cfg.pop('data_preprocessor')  # as the Runner does
    return cfg


@pytest.fixture(scope='session')
def load() -> Callable[[str], Config]:
    """Read a config of the repository by its name; the same object every time."""
    return read


@pytest.fixture(autouse=True)
def scope():
    """Build as the tools do, in the scope that every config names."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield
