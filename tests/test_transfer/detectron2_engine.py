"""What the tests of the detectron2 engine share."""

import argparse
import importlib.util
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from mmjoint.detection.sources import add_arguments, read_data

ENGINE = Path(__file__).resolve().parents[2] / 'transfer/detectron2'
needs_detectron2 = pytest.mark.skipif(
    find_spec('detectron2.modeling' if find_spec('detectron2') else 'detectron2') is None,
    reason='detectron2 is not installed (transfer/README.md says how to build it)',
)


def load(name: str) -> ModuleType:
    """Import a file of the engine; the other engines have files of the same names."""
    sys.path.insert(0, str(ENGINE))
    try:
        spec = importlib.util.spec_from_file_location(f'detectron2_{name}', ENGINE / f'{name}.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ENGINE))
    return module


def make_voc(root, images=2, years=(2007, 2012)):
    """Write gray images with a bright square each, a car, in VOC's layout."""
    rng = np.random.default_rng(0)
    for year in years:
        folder = root / f'VOC{year}'
        for name in ('Annotations', 'JPEGImages', 'ImageSets/Main'):
            (folder / name).mkdir(parents=True)
        names = [f'{year}_{i:03}' for i in range(images)]
        for name in names:
            x, y = rng.integers(1, 40, 2)
            pixels = rng.integers(60, 90, (96, 128, 3), dtype=np.uint8)
            pixels[y - 1 : y + 39, x - 1 : x + 59] += 120
            Image.fromarray(pixels).save(folder / f'JPEGImages/{name}.jpg')
            (folder / f'Annotations/{name}.xml').write_text(
                '<annotation><size><width>128</width><height>96</height><depth>3</depth></size>'
                '<object><name>car</name><pose>Left</pose><truncated>0</truncated>'
                f'<difficult>0</difficult><bndbox><xmin>{x}</xmin><ymin>{y}</ymin>'
                f'<xmax>{x + 59}</xmax><ymax>{y + 39}</ymax></bndbox></object></annotation>'
            )
        for split in ('trainval', 'test'):
            (folder / f'ImageSets/Main/{split}.txt').write_text('\n'.join(names) + '\n')
    return root


def written(form, folder, *arguments):
    """Read, check and write data as run.py does; return the folder of the two files."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args([str(argument) for argument in arguments])
    read_data(args, form).write(folder)
    return str(folder)
