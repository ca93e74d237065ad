"""The quick start: what it trains, and the whole of it on a few photos."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchvision.models import resnet18

from mmjoint.datasets import make_scenes
from mmjoint.datasets.small_copies import make_small_copies
from mmjoint.engine import save_config
from mmjoint.engine.options import TOP_LEVEL_KEYS
from mmjoint.quickstart import EPOCHS, NUM_IMAGES, SECONDS, QuickStart, Stage, Stages

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools/quickstart.py'


@pytest.fixture(scope='module')
def photos(tmp_path_factory) -> Path:
    """Fewer photos than a batch, in folders, with something in them that can be learnt."""
    return make_scenes(tmp_path_factory.mktemp('photos') / 'scenes', 24, 10) / 'train'


def quickstart(out: Path = Path('out'), **kwargs) -> QuickStart:
    return QuickStart(out=out, **{'root': ROOT, 'seed': 3, **kwargs})


def test_the_two_runs_differ_in_beta_alone():
    baseline, joint = (quickstart().config(run) for run in ('baseline', 'jointcrop0'))
    assert baseline.randomness == dict(seed=3) and baseline.train_cfg.max_epochs == EPOCHS
    crop = baseline.train_dataloader.dataset.pipeline[1].transforms[0][0]
    assert crop.type == 'JointCrop' and crop.beta is None
    crop.beta = 0
    # `views`, `train_pipeline` and the like are what the settings were made of.
    one, other = (
        {key: value for key, value in cfg.to_dict().items() if key in TOP_LEVEL_KEYS}
        for cfg in (baseline, joint)
    )
    assert one == other and {'model', 'train_dataloader', 'optim_wrapper'} <= set(one)


def test_own_photos_are_seen_as_often_as_the_scenes(photos, tmp_path, capsys):
    own = quickstart(tmp_path, images=photos)
    own.copy_photos()
    said = capsys.readouterr().out
    assert '24 of 24 photos are used' in said and 'left out without labels: kNN' in said
    cfg = own.config('baseline')
    epochs, batch = cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size
    assert (epochs, batch) == (EPOCHS * NUM_IMAGES / 24, 24)
    assert cfg.param_scheduler[0].T_max == cfg.param_scheduler[0].end == epochs
    assert cfg.default_hooks.checkpoint.interval == epochs // EPOCHS
    assert cfg.train_dataloader.dataset.data_root == str(tmp_path / 'photos')
    names = [stage.name for stage in own.stages(dict(runs=dict(baseline={}, jointcrop0={})))]
    own.copy_photos()  # of the same photos: they stay
    with pytest.raises(ValueError, match='holds copies of .*train, not of .*elsewhere'):
        quickstart(tmp_path, images=Path('elsewhere')).copy_photos()
    assert len(names) == 4 and not any('kNN' in name or 'detector' in name for name in names)
    for copy in list((tmp_path / 'photos').glob('*.jpg'))[:16]:  # 40: one batch of 32 per epoch
        shutil.copy(copy, copy.with_name(f'again_{copy.name}'))
    assert own.config('baseline').train_cfg.max_epochs == round(EPOCHS * NUM_IMAGES / 32)


def test_time_left_follows_the_speed_so_far(capsys):
    """A machine of half the speed takes twice the time; what is done already takes none."""
    now = [0.0]

    def work(seconds):
        now[0] += seconds

    kinds = ['images', 'pretrain', 'pretrain', 'evaluate', 'detect', 'report']
    expected = [SECONDS[kind] for kind in kinds]
    stages = [
        Stage(f'part {i}', SECONDS[kind], lambda s=2 * SECONDS[kind]: work(s), done=i == 1)
        for i, kind in enumerate(kinds)
    ]
    run = Stages(stages, clock=lambda: now[0])
    run.run()
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert len(lines) == 6 and lines[3].startswith('=== stage 4 of 6: part 3; about ')
    told = [int(line.split('about ')[1].split()[0]) for line in lines]
    assert told[0] == max(1, round((sum(expected) - expected[1]) / 60))  # as on the usual machine
    # Before the fourth, two had taken twice their time, beside 30 s as expected.
    speed = (30 + 2 * (expected[0] + expected[2])) / (30 + expected[0] + expected[2])
    assert told[3] == max(1, round(speed * sum(expected[3:]) / 60))


def test_small_copies(tmp_path):
    """A short side of 128, small photos as they are, damaged ones named, the rest left out."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    ramp = np.tile(np.linspace(0, 255, 400, dtype=np.uint8)[:, None, None], (1, 300, 3))
    paths = [folder / name for name in ('large.png', 'small.png', 'tiny.png', 'broken.png')]
    for path, image in zip(paths, (ramp, ramp[:50, :40], ramp[:1, :1]), strict=False):
        cv2.imwrite(str(path), image)
    paths[3].write_bytes(paths[0].read_bytes()[:500])
    for name in ('out', 'two', 'late', 'none'):
        (tmp_path / name).mkdir()
    num, faults = make_small_copies(paths, tmp_path / 'out', 10, 128, seconds=60)
    assert num == 3 and len(faults) == 1 and 'broken.png' in faults[0]
    copies = [cv2.imread(str(path)) for path in sorted((tmp_path / 'out').iterdir())]
    assert sorted(copy.shape[:2] for copy in copies) == [(1, 1), (50, 40), (171, 128)]
    large = max(copies, key=len)
    expected = (np.arange(171) + 0.5) / 171 * 255
    assert np.abs(large.mean((1, 2)) - expected).max() < 3
    assert make_small_copies(paths, tmp_path / 'two', 2, 128, seconds=60)[0] == 2
    assert make_small_copies(paths, tmp_path / 'late', 10, 128, seconds=-1)[0] >= 2
    with pytest.raises(ValueError, match='0 of 1 photos can be read.*broken.png'):
        make_small_copies(paths[3:], tmp_path / 'none', 2, 128, seconds=60)


def test_another_run_is_not_written_over(tmp_path):
    quickstart(tmp_path).save_config('baseline')
    quickstart(tmp_path).save_config('baseline')
    with pytest.raises(ValueError, match='other settings'):
        quickstart(tmp_path, seed=4).save_config('baseline')


def test_a_full_disk_leaves_no_config(tmp_path, full_disk):
    start = quickstart(tmp_path)
    cfg = start.config('baseline')
    with full_disk(1000), pytest.raises(OSError, match=r'cannot write .*baseline\.py: File too'):
        save_config(cfg, tmp_path / 'baseline.py', '--out')
    with full_disk(10), pytest.raises(OSError, match=r'cannot write .*TMPDIR.*\.py: File too'):
        start.save_config('baseline')
    assert list(tmp_path.iterdir()) == []


def test_bad_arguments(run_tool):
    for args, word in ((['--epochs', '0'], '--epochs'), (['--images', 'nowhere'], 'nowhere')):
        status, _, err = run_tool('quickstart.py', *args)
        assert status != 0 and word in err and 'Traceback' not in err


@pytest.mark.slow
def test_own_photos_end_to_end(photos, tmp_path):
    command = [sys.executable, TOOL, '--images', photos, '--epochs', '1', '--out', tmp_path / 'out']
    subprocess.run(command, check=True)
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert results['num_images'] == 24 and set(results['runs']) == {'baseline', 'jointcrop0'}
    for run in results['runs'].values():
        # 48 views: a model that tells nothing apart has a loss of log(47) = 3.85.
        assert run['iterations'] == 104 and run['last_loss'] < min(3.7, run['first_loss'])
    assert (tmp_path / 'out/report.html').stat().st_size > 10_000
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert 'Epoch(train) [' not in again.stdout + again.stderr  # nothing was left to train


@pytest.mark.slow
def test_the_detector_starts_from_the_runs_own_backbone(tmp_path, monkeypatch):
    root, out = tmp_path / 'clone', tmp_path / 'out'
    for name in ('configs', 'transfer'):
        shutil.copytree(ROOT / name, root / name)
    monkeypatch.chdir(root)
    make_scenes('data/scenes', 40, 20)
    weights = {f'backbone.{name}': value for name, value in resnet18().state_dict().items()}
    del weights['backbone.fc.weight'], weights['backbone.fc.bias']
    checkpoint = out / f'baseline/epoch_{EPOCHS}.pth'
    checkpoint.parent.mkdir(parents=True)
    torch.save(dict(state_dict=weights), checkpoint)
    found = quickstart(out, root=root).detect('baseline')
    assert 0 <= found['AP'] <= found['AP50'] <= 100 and found['seconds'] > 0
    results = json.loads((out / 'baseline/detection/results.json').read_text())
    assert results['weights']['sha256'] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert (out / 'baseline/detection/predictions.png').is_file()
