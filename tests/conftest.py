import contextlib
import gc
import io
import os
import random
import re
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# Sums have one order, whatever the number of cores; models as small as these gain nothing by more
# threads. It must stand before the first import of torch, and goes on to the processes of tests.
os.environ['OMP_NUM_THREADS'] = '1'
# Tests are the same everywhere: they and their processes see no GPU. Those of tests/gpu do, where
# they are asked for: `pytest -m gpu`, `pytest tests/gpu`. The environment tells xdist's workers.
if 'MMJOINT_TEST_DEVICE' not in os.environ:
    asked = any(re.search(r'(?<!not )(?<!\w)gpu(/|$)', argument) for argument in sys.argv[1:])
    os.environ['MMJOINT_TEST_DEVICE'] = 'cuda' if asked else 'none'
if os.environ['MMJOINT_TEST_DEVICE'] != 'cuda':
    os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
# albumentations, where it is installed, asks PyPI for its newest version.
os.environ['NO_ALBUMENTATIONS_UPDATE'] = '1'

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from yapf.yapflib import yapf_api

TOOLS = Path(__file__).resolve().parents[1] / 'tools'


def pytest_collection_finish() -> None:
    """What the imports have made stays: the garbage collector need not look at it again."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _plain_config_text(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the text of configs as mmengine makes it, valid Python on one long line per setting.

    mmengine has yapf lay it out several times in every run, a quarter of a second each, for nobody
    to read. `@pytest.mark.yapf` tests with the layout.
    """
    if not request.node.get_closest_marker('yapf'):
        monkeypatch.setattr(yapf_api, 'FormatCode', lambda text, **style: (text, True))


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Folder of real photos and small data sets that lies beside the repository."""
    default = Path(__file__).resolve().parents[2] / 'shared' / 'data'
    folder = Path(os.environ.get('MMJOINT_SHARED_DATA', default))
    if not folder.is_dir():
        pytest.skip(f'no folder {folder} (MMJOINT_SHARED_DATA names another place)')
    return folder


@pytest.fixture
def full_disk() -> Callable[..., contextlib.AbstractContextManager]:
    """Let files grow no further than some bytes in a block, as on a disk that is full."""
    resource = pytest.importorskip('resource')

    @contextlib.contextmanager
    def limit(room: int = 0) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Every test draws the same numbers each time, alone or after others."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@contextlib.contextmanager
def _scopes_as_before() -> Iterator[None]:
    before = DefaultScope._instance_dict.copy()
    yield
    DefaultScope._instance_dict = before


@pytest.fixture(autouse=True, scope='module')
def _forget_scopes_of_fixtures() -> Iterator[None]:
    """Undo the default scopes of a module's fixtures, which other modules would meet."""
    with _scopes_as_before():
        yield


@pytest.fixture(autouse=True)
def _forget_scopes() -> Iterator[None]:
    """Undo default scopes: a Runner's stays, and decides where later tests look for a type."""
    with _scopes_as_before():
        yield


@pytest.fixture
def run_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple]:
    """Run a tool, or another script by its path, in this process and in `tmp_path`.

    Gives its exit status, stdout and stderr.
    """

    def run(name: str | Path, *args: object) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        path = TOOLS / name
        monkeypatch.syspath_prepend(path.parent)  # as Python does for a script
        monkeypatch.setattr(sys, 'argv', [*map(str, (name, *args))])
        status, out, err = 0, io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                runpy.run_path(str(path), run_name='__main__')
            except SystemExit as end:
                status = end.code or 0
                if isinstance(status, str):  # as Python does
                    print(status, file=sys.stderr)
                    status = 1
        # mmengine names them by the second, and a run would log into those of the run before.
        for manager in (DefaultScope, MessageHub, MMLogger, Visualizer):
            manager._instance_dict.clear()
        return status, out.getvalue(), err.getvalue()

    return run
