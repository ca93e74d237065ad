"""What the tests of the engines and of conversions share."""

import functools
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from torch import nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # for resnets.py and detectron2_engine.py


def make_coco(folder: Path, count: int = 5) -> dict:
    """Noise images of 60 x 48 pixels, each with a bright rectangle of class 7 or 9."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    folder.mkdir(parents=True, exist_ok=True)
    width, height = 60, 48
    for id_ in range(1, count + 1):
        pixels = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
        x, y, w, h = rng.integers(0, 20), rng.integers(0, 16), rng.integers(16, 40), 24
        x, y, w, h = map(int, (x, y, w, h))
        pixels[y : y + h, x : x + w] = 220
        path = folder / f'{id_}.png'
        Image.fromarray(pixels).save(path)
        images.append(dict(id=id_, file_name=str(path), width=width, height=height))
        polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
        annotations.append(
            dict(
                id=id_,
                image_id=id_,
                category_id=7 + 2 * (id_ % 2),
                bbox=[x, y, w, h],
                area=w * h,
                iscrowd=0,
                segmentation=[polygon],
            )
        )
    categories = [dict(id=9, name='nine'), dict(id=7, name='seven')]
    return dict(images=images, annotations=annotations, categories=categories)


@pytest.fixture
def coco_of() -> Callable[..., dict]:
    """A data set in COCO's form: a function of its folder and number of images."""
    return make_coco


@pytest.fixture(scope='session')
def checkpoints(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[int], tuple[Path, nn.Module]]]:
    """Checkpoint and backbone of a depth, made once."""
    from resnets import mm_resnet, save_mm

    folder = tmp_path_factory.mktemp('checkpoints')

    @functools.cache
    def make(depth: int) -> tuple[Path, nn.Module]:
        backbone = mm_resnet(depth)
        return save_mm(folder / f'r{depth}.pth', backbone), backbone

    yield make
    shutil.rmtree(folder)


@pytest.fixture
def r18(checkpoints: Callable[[int], tuple[Path, nn.Module]]) -> tuple[Path, nn.Module]:
    return checkpoints(18)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """Keep nothing: pytest would keep gigabytes of weights of the last runs."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.fixture(scope='session')
def train_net() -> ModuleType:
    """The detectron2 engine's training script: the name of its head can be registered once only."""
    from detectron2_engine import load

    return load('train_net')
