import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmjoint.evaluation.view_benchmark import benchmark_views, view_makers

ROOT = Path(__file__).resolve().parents[2]
MAKERS = [
    'mmjoint',
    'mmjoint joint',
    'mmpretrain',
    'torchvision v1, PIL',
    'torchvision v2, tensors',
]


@pytest.fixture(scope='module')
def views() -> list[dict]:
    cfg = Config.fromfile(ROOT / 'configs/_base_/views/simclr.py')
    return cfg.train_pipeline[1].transforms[0]


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / 'photos'
    folder.mkdir()
    for i in range(3):
        # One colour: whatever the crop and the blur do, a view keeps one colour a channel.
        cv2.imwrite(str(folder / f'{i}.png'), np.full((60, 80, 3), (40, 90, 200), np.uint8))
    return folder


@pytest.mark.parametrize('name', [*MAKERS, 'albumentations', 'lightly'])
def test_views_of_a_plain_image_are_plain_uint8(views, folder, name):
    if name in ('albumentations', 'lightly'):
        pytest.importorskip(name)
    make = view_makers(views, size=32)[name]
    colors = set()
    for _ in range(20):
        for view in make(str(folder / '0.png')):
            assert view.shape == (3, 32, 32) and view.dtype == torch.uint8
            spread = view.flatten(1).amax(1).int() - view.flatten(1).amin(1).int()
            assert spread.max() <= 1
            colors.add(tuple(view[:, 0, 0].tolist()))
    assert len(colors) > 5


def test_views_come_from_the_whole_photo(views, tmp_path):
    """Left half dark, right half light: a maker that did not crop would always show both."""
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[:, 32:] = 255
    cv2.imwrite(str(tmp_path / 'half.png'), photo)
    for name, make in view_makers(views, size=16).items():
        if name == 'decode':
            continue
        means = [
            view.float().mean() / 255 for _ in range(60) for view in make(f'{tmp_path}/half.png')
        ]
        assert min(means) < 0.2 and max(means) > 0.5, name


def test_no_file_is_an_error(views):
    with pytest.raises(ValueError, match='at least one photo'):
        benchmark_views([], views)


def test_tool_writes_json_and_prints_a_table(folder, tmp_path):
    out = tmp_path / 'out.json'
    tool = ROOT / 'tools/benchmark_views.py'
    done = subprocess.run(
        [sys.executable, tool, folder, '--json', out, '--size', '32', '--seconds', '0'],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result['photos'] == 3 and result['size'] == 32 and result['rounds'] == 3
    for table in ('pairs_per_second', 'times_mmpretrain'):
        assert set(result[table]) >= {'decode', *MAKERS}
        for row in result[table].values():
            low, high = row['quartiles']
            assert 0 < low <= row['median'] <= high
    assert result['times_mmpretrain']['mmpretrain'] == dict(median=1.0, quartiles=[1.0, 1.0])
    assert all(name in done.stdout for name in result['pairs_per_second'])
    assert not list(tmp_path.glob('*.part'))


def test_tool_names_a_folder_without_photos(tmp_path, run_tool):
    status, _, err = run_tool('benchmark_views.py', tmp_path)
    assert status == 1
    assert str(tmp_path) in err.splitlines()[-1]


def test_tool_names_a_broken_photo(folder, run_tool):
    (folder / 'empty.jpg').touch()
    status, _, err = run_tool('benchmark_views.py', folder, '--size', 32, '--seconds', 0)
    assert status == 1
    assert 'empty.jpg' in err.splitlines()[-1]
