import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mmjoint.utils import guard
from mmjoint.utils.guard import check_same_run, lock_folder, numbered_files, unlock_folder

HOLD = """
import os, runpy, sys, time
runpy.run_path(sys.argv[3])['lock_folder'](sys.argv[1])  # without the package, which takes seconds
if sys.argv[2] == 'fork' and os.fork() == 0:
    time.sleep(60)
print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen]]:
    """Start a process, in a session of its own, that locks the folder and waits."""
    started = []

    def start(how: str = 'alone') -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, '-c', HOLD, str(tmp_path), how, guard.__file__],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert int(process.stdout.readline()) == process.pid
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_second_run_is_told_who_is_there(
    holder: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, '_PATIENCE', 0.2)
    process = holder()
    with pytest.raises(ValueError, match=f'at work there .process {process.pid} on .*, since 2'):
        lock_folder(tmp_path)


@pytest.mark.parametrize('how', ['alone', 'fork'])
def test_lock_goes_with_a_killed_process(how: str, holder: Callable, tmp_path: Path) -> None:
    process = holder(how)  # a forked child of it lives on, as data loader workers do
    process.kill()
    process.wait()
    start = time.monotonic()
    lock_folder(tmp_path)
    unlock_folder(tmp_path)
    assert time.monotonic() - start < 1


def test_lock_waits_for_a_process_that_is_ending(holder: Callable, tmp_path: Path) -> None:
    process = holder()
    subprocess.Popen(['sh', '-c', f'sleep 0.5; kill -9 {process.pid}'])
    lock_folder(tmp_path)
    lock_folder(tmp_path)  # the same process, once more
    unlock_folder(tmp_path)


def test_numbered_files(tmp_path: Path) -> None:
    names = ['epoch_2.pth', 'epoch_10.pth', 'epoch_01.pth', 'best_epoch_3.pth', 'epoch_4.pth.part']
    for name in names:
        (tmp_path / name).touch()
    expected = {2: tmp_path / 'epoch_2.pth', 10: tmp_path / 'epoch_10.pth'}
    assert list(numbered_files(tmp_path, 'epoch_{}.pth').items()) == list(expected.items())
    assert numbered_files(tmp_path / 'nowhere', 'epoch_{}.pth') == {}


def test_same_run() -> None:
    check_same_run('there', dict(seed=1, more=2), dict(seed=1))
    with pytest.raises(ValueError, match=r'there holds .* seed 1 instead of 2: give .* --out'):
        check_same_run('there', dict(seed=1), dict(seed=2), '--out')
