"""Tests for a machine with a GPU: `pytest -m gpu tests/gpu` (with pytest-xdist, `-n 8`).

MMJOINT_TEST_DEVICE=cpu runs the same on the CPU, which shows that the tests themselves are right.
"""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ..test_tools.conftest import image_folder, pretrain_config  # noqa: F401

DEVICE = os.environ['MMJOINT_TEST_DEVICE']  # tests/conftest.py sets it
SKIPPED = {
    'none': 'other tests see no GPU; run these with `pytest -m gpu tests/gpu`',
    'cuda': None if torch.cuda.is_available() else 'torch finds no GPU here',
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            if SKIPPED.get(DEVICE):
                item.add_marker(pytest.mark.skip(reason=SKIPPED[DEVICE]))


@pytest.fixture(scope='session')
def device() -> str:
    """Kind of device that the tools are to choose by themselves."""
    return DEVICE


@pytest.fixture(scope='session')
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training and 12 validation photos of three classes that differ in their mean color."""
    root = tmp_path_factory.mktemp('labelled')
    rng = np.random.default_rng(0)
    for split, number in (('train', 8), ('val', 4)):
        for label in range(3):
            folder = root / split / f'class_{label}'
            folder.mkdir(parents=True)
            for i in range(number):
                image = cv2.resize(rng.integers(0, 128, (12, 12, 3), np.uint8), (48, 48))
                image[..., label] += 120
                cv2.imwrite(str(folder / f'{i}.png'), image)
    return root
