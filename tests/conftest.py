import os
import random
from collections.abc import Iterator
from pathlib import Path

# Sums have one order, whatever the number of cores; models as small as these gain nothing by more
# threads. It must stand before the first import of torch, and goes on to the processes of tests.
os.environ['OMP_NUM_THREADS'] = '1'

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Folder of real photos and small data sets that lies beside the repository."""
    default = Path(__file__).resolve().parents[2] / 'shared' / 'data'
    folder = Path(os.environ.get('MMJOINT_SHARED_DATA', default))
    if not folder.is_dir():
        pytest.skip(f'no folder {folder} (MMJOINT_SHARED_DATA names another place)')
    return folder


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
