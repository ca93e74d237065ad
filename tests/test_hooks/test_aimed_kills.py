"""Runs that are killed at the moments that matter to what a folder holds, and started again."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow
ITERATIONS = 24


def start(work_dir: Path, *kill: object) -> subprocess.CompletedProcess:
    command = [sys.executable, Path(__file__).with_name('aimed_kill.py'), work_dir, *kill]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)


def losses(work_dir: Path) -> dict[int, float]:
    """The losses by iteration, the later start's where two have one."""
    rows = [
        json.loads(line)
        for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
        for line in path.read_text().splitlines()
    ]
    return {row['step']: row['loss'] for row in rows if 'loss' in row}


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work_dir = tmp_path_factory.mktemp('whole') / 'run'
    done = start(work_dir)
    assert done.returncode == 0, done.stderr
    return work_dir


@pytest.mark.parametrize(
    'moment, number, name',
    [
        ('start', 1, 'SIGKILL'),
        ('after loading', 1, 'SIGKILL'),
        ('iteration', 10, 'SIGTERM'),
        ('in a save', 1, 'SIGKILL'),
        ('in a save', 4, 'SIGTERM'),
        ('before a rename', 3, 'SIGKILL'),
        ('after a rename', 3, 'SIGKILL'),
        ('after a rename', 6, 'SIGKILL'),
        ('before a removal', 1, 'SIGKILL'),
        ('before a removal', 3, 'SIGTERM'),
        ('after a removal', 2, 'SIGKILL'),
    ],
)
def test_goes_on_as_if_nothing_had_been(
    moment: str, number: int, name: str, whole: Path, tmp_path: Path
) -> None:
    killed = start(tmp_path, moment, number, name)
    assert killed.returncode == -signal.Signals[name], killed.stderr
    saved = [int(path.stem.removeprefix('epoch_')) for path in tmp_path.glob('epoch_*.pth')]
    first_start = len(losses(tmp_path))
    done = start(tmp_path)
    assert done.returncode == 0, done.stderr
    # Nothing is trained twice but what no checkpoint had.
    again = sum(
        path.read_text().count('"loss"') for path in tmp_path.glob('*/vis_data/scalars.json')
    )
    assert again == ITERATIONS + first_start - 4 * max(saved, default=0)
    assert losses(tmp_path) == losses(whole)
    names = {path.name for path in tmp_path.iterdir() if path.is_file()} - {'.lock'}
    assert {name for name in names if not name.endswith('.py')} == {
        'epoch_5.pth',
        'epoch_6.pth',
        'last_checkpoint',
    }
    ours, theirs = (
        torch.load(folder / 'epoch_6.pth', weights_only=False) for folder in (tmp_path, whole)
    )
    for key, weight in theirs['state_dict'].items():
        assert torch.equal(ours['state_dict'][key], weight), key
