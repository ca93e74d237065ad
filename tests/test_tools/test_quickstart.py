"""The quick start: what it trains, and the whole of it on a few photos."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
from PIL import Image

TOOL = Path(__file__).resolve().parents[2] / 'tools/quickstart.py'


@pytest.fixture(scope='module')
def quickstart() -> dict:
    return run_path(str(TOOL))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(40):
        pixels = rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)
        path = tmp_path / f'photos/{i % 2}/{i}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / 'photos'


def arguments(**kwargs) -> Namespace:
    return Namespace(**{**dict(images=None, epochs=6, seed=3, out=None), **kwargs})


def test_the_two_runs_differ_in_beta_alone(quickstart):
    baseline, joint = (
        quickstart['make_config'](run, arguments()) for run in ('baseline', 'jointcrop0')
    )
    assert baseline.randomness == dict(seed=3) and baseline.train_cfg.max_epochs == 6
    crop = baseline.train_dataloader.dataset.pipeline[1].transforms[0][0]
    assert crop.type == 'JointCrop' and crop.beta is None
    crop.beta = 0
    assert baseline.to_dict() == joint.to_dict()


def test_own_photos_are_seen_as_often_as_the_scenes(quickstart, photos):
    cfg = quickstart['make_config']('baseline', arguments(images=photos))
    epochs, batch = cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size
    assert (epochs, batch) == (600, 40)  # 6 epochs of 4000 images
    assert cfg.param_scheduler[0].T_max == cfg.param_scheduler[0].end == epochs
    assert cfg.default_hooks.checkpoint.interval == 100
    assert cfg.train_dataloader.dataset.data_root == str(photos)


def test_another_run_is_not_written_over(quickstart, tmp_path):
    save, path = quickstart['save_config'], tmp_path / 'out/baseline.py'
    save(quickstart['make_config']('baseline', arguments()), path)
    save(quickstart['make_config']('baseline', arguments()), path)
    with pytest.raises(ValueError, match='other settings'):
        save(quickstart['make_config']('baseline', arguments(seed=4)), path)


def test_bad_arguments():
    for args, word in ((['--epochs', '0'], '--epochs'), (['--images', 'nowhere'], 'nowhere')):
        run = subprocess.run([sys.executable, TOOL, *args], capture_output=True, text=True)
        assert run.returncode != 0 and word in run.stderr and 'Traceback' not in run.stderr


@pytest.mark.slow
def test_own_photos_end_to_end(photos, tmp_path):
    command = [sys.executable, TOOL, '--images', photos, '--epochs', '1', '--out', tmp_path / 'out']
    subprocess.run(command, check=True)
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert results['num_images'] == 40 and set(results['runs']) == {'baseline', 'jointcrop0'}
    for run in results['runs'].values():
        assert run['iterations'] == 100 and 0 < run['last_loss'] < 6  # 4.4 is log(79), chance
    assert (tmp_path / 'out/report.html').stat().st_size > 10_000
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert 'Epoch(train) [' not in again.stdout + again.stderr  # nothing was left to train
