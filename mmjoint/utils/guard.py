"""Ensures that a folder belongs to one run, and that one process at a time works in it."""

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]  # a module or none

LOCK_FILE = '.lock'
CHECKPOINTS = ('epoch_{}.pth', 'iter_{}.pth')
# A killed launcher ends its processes by a signal, and they take a moment to end.
_PATIENCE = 5.0

# The kernel releases a lock when its file is closed, so the files of held locks stay open.
_locks: dict[str, int] = {}


def numbered_files(folder: str | Path, template: str) -> dict[int, Path]:
    """Find the files of a folder whose names match a template with a number.

    Args:
        folder (str | Path): The folder; it need not exist.
        template (str): A name with one ``{}``, such as ``'epoch_{}.pth'``.

    Returns:
        dict[int, Path]: Maps each number to its file (or folder, such as a DeepSpeed checkpoint),
        in ascending order.
    """
    before, _, after = template.partition('{}')
    pattern = re.compile(re.escape(before) + r'(0|[1-9]\d*)' + re.escape(after))
    folder = Path(folder)
    names = os.listdir(folder) if folder.is_dir() else []
    found = {int(match[1]): folder / name for name in names if (match := pattern.fullmatch(name))}
    return dict(sorted(found.items()))


def lock_folder(folder: str | Path) -> None:
    """Keep other runs out of a folder until this process ends, however it ends.

    The lock is a POSIX record lock: unlike a lock of ``flock``, it is not inherited by forked data
    loader workers, which outlive a killed process for seconds, and NFS passes it on to other
    machines.

    Args:
        folder (str | Path): The folder; it is made if it does not exist.

    Raises:
        ValueError: Another run works there; the message says which process on which machine.
        OSError: The folder cannot be made or written to.
    """
    path = Path(folder).resolve() / LOCK_FILE
    if str(path) in _locks or fcntl is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _open(path)
    patience = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_the_file(path, file):
                break
            os.close(file)  # a run that failed has just removed what it had made
            path.parent.mkdir(parents=True, exist_ok=True)
            file = _open(path)
        except (BlockingIOError, PermissionError) as error:  # POSIX allows either for a held lock
            if time.monotonic() > patience:
                told = _holder(file)
                os.close(file)
                raise ValueError(
                    f'{folder}: another run is at work there ({told}): wait for its end, or give '
                    'another folder'
                ) from error
            time.sleep(0.1)
        except OSError as error:
            os.close(file)
            print(f'{folder}: not locked ({error.strerror}); no other run may use it', flush=True)
            return
    _locks[str(path)] = file
    facts = dict(pid=os.getpid(), host=socket.gethostname(), since=time.strftime('%F %T'))
    try:
        os.ftruncate(file, 0)
        os.write(file, (json.dumps(facts) + '\n').encode())
    except OSError as error:
        unlock_folder(folder, remove=True)
        raise OSError(f'cannot write {path}: {error.strerror}') from error


def unlock_folder(folder: str | Path, remove: bool = False) -> None:
    """Let other runs into a folder again before this process ends.

    Args:
        folder (str | Path): The folder; nothing happens if this process has not locked it.
        remove (bool): Whether to remove the lock's file, and the folder if nothing else is in it,
            since the run has left nothing there. Defaults to False.
    """
    path = Path(folder).resolve() / LOCK_FILE
    file = _locks.pop(str(path), None)
    if file is not None:
        if remove:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()
        os.close(file)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)


def _is_the_file(path: Path, file: int) -> bool:
    """Tell whether an open file is still the one of a path."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _holder(file: int) -> str:
    try:
        facts = json.loads(os.pread(file, 1000, 0))
        return f'process {facts["pid"]} on {facts["host"]}, since {facts["since"]}'
    except (ValueError, KeyError, TypeError):  # the other process has not written it yet
        return 'it has not yet said which'


def check_same_run(
    folder: str | Path, earlier: Mapping, wanted: Mapping, option: str = '--work-dir'
) -> None:
    """Refuse to continue a run in the folder of another run.

    Args:
        folder (str | Path): The folder, for the message.
        earlier (Mapping): Names and values that identify the folder's run.
        wanted (Mapping): The same for the run that is to continue. Names that only ``earlier`` has
            are not compared.
        option (str): The option that names the folder, for the message.

    Raises:
        ValueError: A value differs; the message says which one and how.
    """
    if differing := _differences(earlier, wanted):
        raise ValueError(
            f'{folder} holds a run with other settings, {_told(differing)}: give another {option}, '
            'or remove the folder'
        )


def _told(differing: list[str], shown: int = 8) -> str:
    more = f' and {len(differing) - shown} more' if len(differing) > shown else ''
    return ', '.join(differing[:shown]) + more


def _differences(earlier: Mapping, wanted: Mapping, prefix: str = '') -> list[str]:
    """Return what differs, by the names of single values also within nested settings."""
    found = []
    for key, value in wanted.items():
        before = earlier.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            found += _differences(before, value, f'{prefix}{key}.')
        elif before != value:
            found.append(f'{prefix}{key} {_short(before)} instead of {_short(value)}')
    return found


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f'{text[:60]}...'
