import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ..test_transfer.conftest import checkpoints, coco_of, r18, tmp_path  # noqa: F401

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for the modules beside it


@pytest.fixture
def voc(tmp_path: Path) -> Path:  # noqa: F811
    """Six photos in VOC's layout; the first has VOC2007's own box of a dog."""
    folder = tmp_path / 'VOC2007'
    for name in ('Annotations', 'ImageSets/Main', 'JPEGImages'):
        (folder / name).mkdir(parents=True)
    dog = ('dog', 48, 240, 195, 371, 0)
    stems = [f'{i:06d}' for i in range(1, 7)]
    for i, stem in enumerate(stems):
        objects = [dog] + [('person', 8, 12, 352, 498, 1)] * (i == 0)
        text = ''.join(
            f'<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x1}'
            f'</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>'
            for name, x1, y1, x2, y2, difficult in objects
        )
        size = '<size><width>353</width><height>500</height><depth>3</depth></size>'
        (folder / f'Annotations/{stem}.xml').write_text(f'<annotation>{size}{text}</annotation>')
        pixels = np.full((500, 353, 3), 30, dtype=np.uint8)
        pixels[239:371, 47:195] = 200
        Image.fromarray(pixels).save(folder / f'JPEGImages/{stem}.jpg')
    for split in ('trainval', 'test'):
        (folder / f'ImageSets/Main/{split}.txt').write_text('\n'.join(stems) + '\n')
    return tmp_path
