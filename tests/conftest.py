import contextlib
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

TOOLS = Path(__file__).resolve().parents[1] / 'tools'


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


@pytest.fixture(autouse=True)
def _forget_scopes() -> Iterator[None]:
    """Undo default scopes: a Runner's stays, and decides where later tests look for a type."""
    before = DefaultScope._instance_dict.copy()
    yield
    DefaultScope._instance_dict = before


@pytest.fixture
def run_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple]:
    """Run a Python tool in this process, in `tmp_path`: its exit status, stdout and stderr."""

    def run(name: str, *args: object) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(TOOLS)  # as Python does for a script
        monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
        status, out, err = 0, io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                runpy.run_path(str(TOOLS / name), run_name='__main__')
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
