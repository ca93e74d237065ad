import contextlib
import dataclasses
import json
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mmjoint.detection import trials
from mmjoint.detection.trials import find_config, guard_folder, keep_best_detector, run_trial

TRANSFER = Path(__file__).resolve().parents[2] / 'transfer'
RUN = dict(config='voc', options=[], data='here', init='a1b2', which='online')


@pytest.mark.parametrize(
    ('name', 'voc', 'fpn', 'wrong'),
    [
        ('detectron2', 'voc_r50_c4_24k.yaml', 'coco_mask_r50_fpn_1x', 'coco_mask_r50_c4_3x'),
        (
            'mmdet',
            'faster-rcnn_r50-c4_24k_voc0712.py',
            'mask-rcnn_r50-fpn_1x_coco',
            'mask-rcnn_r50-c4_3x_coco',
        ),
    ],
)
def test_config_by_name_or_file(name: str, voc: str, fpn: str, wrong: str, tmp_path: Path) -> None:
    engine = runpy.run_path(str(TRANSFER / name / 'run.py'))['ENGINE']
    configs = TRANSFER / name / 'configs'
    assert find_config(engine, 'voc', None) == configs / voc
    assert find_config(engine, 'coco', fpn).parent == configs
    (tmp_path / 'mine').touch()
    assert find_config(engine, 'coco', str(tmp_path / 'mine')) == tmp_path / 'mine'
    with pytest.raises(FileNotFoundError, match=f'neither a file nor one of .*{fpn}'):
        find_config(engine, 'coco', wrong)
    for task in ('voc', 'coco'):
        assert (configs / (engine.configs[task] + engine.suffix)).is_file()


def test_a_folder_holds_one_run(tmp_path: Path) -> None:
    guard_folder(tmp_path, RUN)
    (tmp_path / 'run.json').write_text(json.dumps(RUN))
    guard_folder(tmp_path, RUN | dict(init='c3d4'))  # that command failed: no trial has started
    (tmp_path / 'seed_0').mkdir()
    guard_folder(tmp_path, RUN)
    with pytest.raises(
        ValueError, match='init a1b2 instead of c3d4, which online instead of momentum'
    ):
        guard_folder(tmp_path, RUN | dict(init='c3d4', which='momentum'))


def test_a_trial_runs_once(tmp_path: Path) -> None:
    result = dict(seed=0, bbox=dict(AP=1.5, AP50=3.0, AP75=1.0))
    program = (
        'import pathlib, sys; pathlib.Path(sys.argv[1], "started").open("a").write("x"); '
        'pathlib.Path(sys.argv[1], "result.json").write_text(sys.argv[2])'
    )
    command = [sys.executable, '-c', program, str(tmp_path), json.dumps(result)]
    assert run_trial(tmp_path, command) == result
    assert run_trial(tmp_path, command) == result
    assert (tmp_path / 'started').read_text() == 'x'


@pytest.mark.parametrize(('end', 'status'), [('sys.exit(3)', 3), ('os.kill(os.getpid(), 15)', 143)])
def test_a_failed_trial_ends_the_run(end: str, status: int, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as error:
        run_trial(tmp_path, [sys.executable, '-c', f'import os, sys; {end}'])
    assert error.value.code == status


def test_the_weights_of_the_best_trial_are_kept(tmp_path: Path) -> None:
    found = []
    for seed, box, mask in ((3, 9.0, 1.0), (4, 5.0, 7.0), (5, 8.0, None)):
        found.append(dict(seed=seed, bbox=dict(AP=box), segm=dict(AP=mask)))
        for name in ('detector.pth', 'predictions.json'):
            path = tmp_path / f'seed_{seed}' / name
            path.parent.mkdir(exist_ok=True)
            path.touch()
        keep_best_detector(tmp_path, found, '*.pth')
    assert [path.parent.name for path in tmp_path.rglob('*.pth')] == ['seed_4']
    assert len([*tmp_path.rglob('predictions.json')]) == 3


def command_of(folder: Path) -> list[str]:
    """The command line of a run on the data set in a folder."""
    files = [str(folder / name) for name in ('set.json', 'photos')]
    names = ('--train-annotations', '--train-images', '--test-annotations', '--test-images')
    options = [part for pair in zip(names, files * 2, strict=True) for part in pair]
    return ['run.py', 'coco', 'random', '1', '--work-dir', str(folder / 'out'), *options]


FAILS = 'import sys; sys.exit("error: no such setting")'
FAILS_IN_TRAINING = 'import pathlib, sys; pathlib.Path(sys.argv[1]).mkdir(); sys.exit("error")'


@pytest.mark.parametrize(('program', 'left'), [(FAILS, False), (FAILS_IN_TRAINING, True)])
@pytest.mark.parametrize('made_before', [False, True])
def test_what_fails_before_training_leaves_nothing(
    program: str,
    left: bool,
    made_before: bool,
    coco_of: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / 'set.json').write_text(json.dumps(coco_of(tmp_path / 'photos')))
    out = tmp_path / 'out'
    if made_before:
        out.mkdir()
        (out / 'notes.txt').touch()
    monkeypatch.setattr(sys, 'argv', command_of(tmp_path))
    engine = runpy.run_path(str(TRANSFER / 'detectron2/run.py'))['ENGINE']
    engine = dataclasses.replace(
        engine, command=lambda *args: [sys.executable, '-c', program, str(args[4])]
    )
    with pytest.raises(SystemExit):
        trials.run(engine, trials.parse_args(engine, ''))
    if left:
        assert {path.name for path in out.iterdir()} >= {'run.json', 'data', 'seed_0'}
    elif made_before:
        assert [path.name for path in out.iterdir()] == ['notes.txt']
    else:
        assert not out.exists()


@pytest.mark.parametrize(
    ('room', 'name'), [(0, '.lock'), (150, 'run.json'), (1000, 'data/train.npz')]
)
def test_a_full_disk_leaves_nothing(
    room: int,
    name: str,
    coco_of: Callable,
    full_disk: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / 'set.json').write_text(json.dumps(coco_of(tmp_path / 'photos')))
    monkeypatch.setattr(sys, 'argv', command_of(tmp_path))
    engine = runpy.run_path(str(TRANSFER / 'detectron2/run.py'))['ENGINE']
    with full_disk(room), pytest.raises(OSError, match=f'cannot write .*{name}: File too large'):
        trials.run(engine, trials.parse_args(engine, ''))
    assert not (tmp_path / 'out').exists()


TRAINS = 'import os, sys, time; open(sys.argv[1], "w").write(str(os.getpid())); time.sleep(60)'


@pytest.mark.skipif(sys.platform != 'linux', reason='by the Linux kernel')
def test_a_killed_parent_takes_its_training_along(tmp_path: Path) -> None:
    pid = tmp_path / 'pid'
    parent = os.fork()
    if not parent:
        with contextlib.suppress(BaseException):
            run_trial(tmp_path, [sys.executable, '-c', TRAINS, str(pid)])
        os._exit(1)
    start = time.monotonic()
    while not (pid.is_file() and pid.read_text()) and time.monotonic() < start + 60:
        time.sleep(0.05)
    status = Path('/proc', pid.read_text(), 'status')
    assert status.is_file()
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    end = time.monotonic() + 20
    while time.monotonic() < end and status.is_file() and '\nState:\tZ' not in status.read_text():
        time.sleep(0.05)
    assert not status.is_file() or '\nState:\tZ' in status.read_text()
