"""Files are written whole or not at all."""

import os

import pytest

from mmjoint.utils.files import check_output, write_output


def test_text_and_bytes(tmp_path):
    path = tmp_path / 'out'
    write_output(path, 'σ')
    assert path.read_bytes() == b'\xcf\x83'
    write_output(str(path), b'\0')
    assert path.read_bytes() == b'\0' and list(tmp_path.iterdir()) == [path]
    check_output(None)
    check_output(path)


def test_a_full_disk_leaves_what_was_there(tmp_path):
    if not os.path.exists('/dev/full'):
        pytest.skip('no /dev/full')
    path = tmp_path / 'out'
    path.write_text('old')
    (tmp_path / 'out.partial').symlink_to('/dev/full')
    with pytest.raises(OSError, match='cannot write .*out: No space left'):
        write_output(path, 'new')
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]


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
