"""Files are written whole or not at all."""

import errno
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from mmjoint.detection.data import write_results
from mmjoint.detection.torchvision.engine import save_whole
from mmjoint.evaluation import write_evaluation
from mmjoint.hooks import NonFiniteLossHook
from mmjoint.utils import files
from mmjoint.utils.files import (
    add_line,
    append_line,
    check_output,
    whole_file,
    whole_folder,
    write_output,
)
from mmjoint.visualization import Run, write_report


def test_text_and_bytes(tmp_path):
    path = tmp_path / 'out'
    write_output(path, 'σ')
    assert path.read_bytes() == b'\xcf\x83'
    write_output(str(path), b'\0')
    assert path.read_bytes() == b'\0' and list(tmp_path.iterdir()) == [path]
    check_output(None)
    check_output(path)


def test_a_full_disk_leaves_what_was_there(tmp_path, full_disk):
    path = tmp_path / 'out'
    path.write_text('old')
    with full_disk(2), pytest.raises(OSError, match='cannot write .*out: File too large') as error:
        write_output(path, 'new')
    assert error.value.errno == errno.EFBIG
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]


def test_no_space_left_on_a_device(tmp_path):
    if not os.path.exists('/dev/full'):
        pytest.skip('no /dev/full')
    with pytest.raises(OSError, match='cannot write /dev/full: No space left') as error:
        write_output('/dev/full', 'new')
    assert error.value.errno == errno.ENOSPC and Path('/dev/full').is_char_device()


def test_devices_and_pipes_stay_what_they_are(tmp_path):
    fifo = tmp_path / 'pipe'
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    write_output(fifo, 'text')
    assert os.read(reader, 9) == b'text' and fifo.is_fifo()
    os.close(reader)


def save_weights(path: Path) -> None:
    with whole_file(path) as file:
        torch.save(torch.zeros(10_000), file)


def write_photos(path: Path) -> None:
    with whole_folder(path) as aside:
        (aside / 'a').write_bytes(bytes(3000))


WRITERS = {
    'save_whole': lambda path: save_whole(dict(a=torch.zeros(10_000)), path),
    'torch.save': save_weights,
    'write_results': lambda path: write_results(path, dict(a=['x' * 9000])),
    'write_evaluation': lambda path: write_evaluation(path, dict(a=['x' * 9000])),
    'write_report': lambda path: write_report(path, 'title', 'note', {}, [Run('run')]),
    'folder': write_photos,
    'NonFiniteLossHook': lambda path: NonFiniteLossHook._save(
        Namespace(work_dir=str(path.parent), iter=0, epoch=0, seed=0),
        {},
        [],
        ['photo.jpg'] * 1000,
        [],
    ),
}


@pytest.mark.parametrize('writer', WRITERS)
def test_whatever_writes_names_the_file_on_a_full_disk(tmp_path, full_disk, writer):
    path = tmp_path / ('non_finite_loss.json' if 'Loss' in writer else 'out')
    with full_disk(1000), pytest.raises(OSError, match=f'cannot write .*{path.name}'):
        WRITERS[writer](path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('add', [append_line, add_line])
def test_a_log_holds_whole_lines_on_a_full_disk(tmp_path, full_disk, add):
    path = tmp_path / 'log'
    add(path, 'one \udce9')
    with full_disk(20), pytest.raises(OSError, match=f'cannot write {path}: File too large'):
        add(path, 'x' * 100)
    assert path.read_bytes() == b'one \\udce9\n'
    add(path, 'two')
    assert path.read_bytes() == b'one \\udce9\ntwo\n'
    assert add(path, 'two') is None


def test_an_error_about_another_file_is_left_alone(tmp_path):
    with pytest.raises(FileNotFoundError, match='photo'), whole_file(tmp_path / 'out'):
        (tmp_path / 'photo.jpg').read_bytes()
    with pytest.raises(ValueError, match='^content$'), whole_folder(tmp_path / 'out') as folder:  # noqa: PT012
        (folder / 'a').write_text('')
        raise ValueError('content')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('name', ['out', 'out.partial', '.out.partial', '.out.part', 'out.part'])
def test_no_symbolic_link_is_followed(tmp_path, name):
    """Neither one in the place of the file nor one of a name that it may have meanwhile."""
    victim = tmp_path / 'victim'
    victim.write_text('mine')
    (tmp_path / name).symlink_to(victim)
    write_output(tmp_path / 'out', 'new')
    assert victim.read_text() == 'mine' and (tmp_path / 'out').read_text() == 'new'
    assert not (tmp_path / 'out').is_symlink()


def test_two_at_once_do_not_meet(tmp_path):
    path = tmp_path / 'out'
    with whole_file(path) as first, whole_file(path) as second:
        assert first.name != second.name and not path.exists()
        first.write(b'a' * 9)
        second.write(b'b' * 9)
    assert path.read_bytes() == b'a' * 9 and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('umask', [0o022, 0o077, 0o002])
def test_permissions_are_those_that_umask_gives(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_output(tmp_path / 'out', 'a')
        with whole_folder(tmp_path / 'folder') as folder:
            (folder / 'a').write_text('')
    finally:
        os.umask(before)
    assert (tmp_path / 'out').stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / 'folder').stat().st_mode & 0o777 == 0o777 & ~umask


def test_what_a_killed_process_left_is_removed_later(tmp_path):
    """And nothing that a process still writes, nor what only has such a name."""
    pytest.importorskip('fcntl')
    code = (
        'import runpy, sys, time\n'
        'door = runpy.run_path(sys.argv[2])\n'
        'file, folder = (door["whole_" + kind] for kind in ("file", "folder"))\n'
        'with file(sys.argv[1] + "/a.pth") as f, folder(sys.argv[1] + "/b") as g:\n'
        '    f.write(bytes(100000)); (g / "c").write_text("c")\n'
        '    print(flush=True); time.sleep(60)\n'
    )
    with subprocess.Popen(
        [sys.executable, '-c', code, tmp_path, files.__file__], stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        left = set(tmp_path.iterdir())
        assert len(left) == 2
        process.kill()
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    (elsewhere / 'a').write_text('')
    link = tmp_path / '.mmjoint-0123456789abcdef.partial'
    link.symlink_to(elsewhere)
    with whole_file(tmp_path / 'held') as held:
        for path in (*left, held.name):
            os.utime(path, (0, 0))
        files._tidied.clear()
        write_output(tmp_path / 'out', '')
        assert not any(path.exists() for path in left) and os.path.exists(held.name)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {'held', 'out', link.name, 'elsewhere'} and (elsewhere / 'a').exists()


def test_a_folder_that_exists_is_not_touched(tmp_path):
    with pytest.raises(FileExistsError, match='exists already'), whole_folder(tmp_path):
        pass


@pytest.mark.parametrize(
    'name,message',
    [
        ('nowhere/a', 'there is no folder .*nowhere'),
        ('', 'it is a folder'),
        ('file/a', 'no folder'),
    ],
)
def test_what_cannot_be_written(tmp_path, name, message):
    (tmp_path / 'file').write_text('')
    for function in (check_output, lambda path: write_output(path, '')):
        with pytest.raises(OSError, match=f'cannot write .*: .*{message}'):
            function(tmp_path / name)


def test_a_folder_without_permission(tmp_path):
    if os.geteuid() == 0:
        pytest.skip('root may write anywhere')
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match='no permission'):
        check_output(tmp_path / 'a')
