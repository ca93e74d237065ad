"""Writes files and folders that appear only when they are whole; all output goes through here.

They are written under a name that cannot be guessed, newly made and never through a symbolic link,
in the target folder, and moved into place at the end. What a killed process left behind is removed
by the next process that writes there.
"""

import contextlib
import io
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # not on Windows, where leftovers stay
    fcntl = None  # type: ignore[assignment]  # a module or none

_ASIDE = re.compile(r'\.mmjoint-[0-9a-f]{16}\.partial(\.\w+)?')
# A file is locked right after it is made; one that is older and not locked belongs to no process.
_LEFTOVER_SECONDS = 5
_tidied: set[Path] = set()


def check_output(path: str | Path | None) -> None:
    """Raise if a file could not be written, before the work that produces its content.

    Args:
        path (str | Path | None): The file; None if there is none to write.

    Raises:
        OSError: The folder does not exist or is not writable, or the file is a folder.
    """
    if path is None:
        return
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f'cannot write {path}: it is a folder')
    if not path.parent.is_dir():
        raise FileNotFoundError(f'cannot write {path}: there is no folder {path.parent}')
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f'cannot write {path}: no permission to write to {path.parent}')


def write_output(path: str | Path, content: str | bytes) -> None:
    """Write a file, whole or not at all.

    Args:
        path (str | Path): The file.
        content (str | bytes): The whole content. Text is encoded as documented in ``encode``.

    Raises:
        OSError: As documented in ``whole_file``.
    """
    with whole_file(path) as file:
        file.write(encode(content) if isinstance(content, str) else content)


def encode(text: str) -> bytes:
    """Encode text as UTF-8; what is not valid text, such as some file names, is escaped."""
    return text.encode('utf-8', 'backslashreplace')


def append_line(path: str | Path, line: str) -> None:
    """Add a line to a log, whole or not at all.

    Args:
        path (str | Path): The log; it is made if it does not exist.
        line (str): The line, without a line end; encoded as documented in ``encode``.

    Raises:
        OSError: The line cannot be written; the message names ``path``.
    """
    with _named(Path(path)), open(path, 'ab', buffering=0) as file:
        _append(file, encode(line) + b'\n')


def _append(file: io.FileIO, data: bytes) -> None:
    """Write at the end of a file that nobody else writes to meanwhile; undo a part of it."""
    end = file.seek(0, os.SEEK_END)
    left = memoryview(data)
    try:
        while left:  # on a full disk a part is written first, and then comes the error
            left = left[file.write(left) :]
    except OSError:
        file.truncate(end)
        raise


def add_line(path: str | Path, line: str) -> int | None:
    """Add a line to a list that several processes share, unless the list contains it already.

    Args:
        path (str | Path): The list; it is made if it does not exist.
        line (str): The line, without a line end.

    Returns:
        int | None: The number of the line, from 1; None if it was there before.

    Raises:
        OSError: The list cannot be written; the message names ``path``.
    """
    flags = os.O_CREAT | os.O_RDWR | os.O_APPEND | getattr(os, 'O_NOFOLLOW', 0)
    with _named(Path(path)), open(os.open(path, flags, 0o666), 'r+b', buffering=0) as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        lines = file.read().splitlines()
        new = encode(line)
        if new in lines:
            return None
        _append(file, new + b'\n')
        return len(lines) + 1


@contextlib.contextmanager
def whole_file(path: str | Path, keep_suffix: bool = True) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name when the block ends without an error.

    An earlier file of that name stays until then. A device or a pipe, such as /dev/stdout, is
    written to directly.

    Args:
        path (str | Path): The file; its folder must exist.
        keep_suffix (bool): Whether the temporary file has the suffix of ``path``. Defaults to True.

    Yields:
        BinaryIO: The file; its ``name`` is the temporary path, for functions that need a path.

    Raises:
        OSError: As documented in ``check_output``, or the file cannot be written, for example
            because the disk is full; the message names ``path``.
    """
    check_output(path)
    path = Path(path)
    if path.exists() and not path.is_file():
        with _named(path), open(path, 'wb') as file:
            yield file
        return
    _remove_leftovers(path.parent)
    aside = _new_name(path.parent, path.suffix if keep_suffix else '')
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, 'O_NOFOLLOW', 0)
    raw = None
    with _named(path, aside, lambda: raw and raw.failed):
        try:
            raw = _Raw(os.open(aside, flags | getattr(os, 'O_CLOEXEC', 0), 0o666), aside)
            _lock(raw.fileno())
            with io.BufferedWriter(raw) as file:
                yield file
                file.flush()
                os.fsync(raw.fileno())
                # This must happen before the file is closed, which releases the lock.
                os.replace(aside, path)
        finally:
            if raw is not None:
                aside.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Make a folder that appears under its name when the block ends without an error.

    Args:
        path (str | Path): The folder, which must not exist yet; its parents are made if necessary.

    Yields:
        Path: The temporary folder.

    Raises:
        OSError: The folder exists, or it or a file in it cannot be written, for example because the
            disk is full; the message names ``path``.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f'{path}: exists already; delete it or name another folder')
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent)
    aside = _new_name(path.parent)
    descriptor = None
    with _named(path, aside):
        aside.mkdir()
        try:
            if fcntl is not None:
                descriptor = os.open(aside, os.O_RDONLY)
                _lock(descriptor)
            yield aside
            os.rename(aside, path)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            if descriptor is not None:
                os.close(descriptor)


class _Raw(io.FileIO):
    """A file that remembers why writing failed, since not every writer passes that on."""

    def __init__(self, descriptor: int, path: Path) -> None:
        super().__init__(descriptor, 'w')
        self.name = str(path)
        self.failed: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failed = error
            raise


@contextlib.contextmanager
def _named(
    path: Path, aside: Path | None = None, failed: Callable[[], OSError | None] = lambda: None
) -> Iterator[None]:
    """Make errors of writing name the file that was to be written."""
    try:
        yield
    except Exception as error:
        cause = failed() or error
        if not isinstance(cause, OSError) or cause.errno is None:
            raise
        about = str(path) if cause.filename is None else str(cause.filename)
        if about != str(path) and not (aside and about.startswith(str(aside))):
            raise  # another file, for instance one that is read
        named = type(cause)(f'cannot write {path}: {cause.strerror}')
        named.errno = cause.errno
        raise named from error


def _new_name(folder: Path, suffix: str = '') -> Path:
    suffix = suffix if re.fullmatch(r'\.\w+', suffix) else ''
    return folder / f'.mmjoint-{secrets.token_hex(8)}.partial{suffix}'


def _lock(descriptor: int) -> bool:
    """Lock a file or folder as a sign that its process lives; False if another process holds it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked, or a file system without locks
        return False
    return True


def _remove_leftovers(folder: Path) -> None:
    folder = folder.absolute()
    if folder not in _tidied:
        _tidied.add(folder)
        remove_leftovers(folder)


def remove_leftovers(folder: str | Path, seconds: float = _LEFTOVER_SECONDS) -> None:
    """Remove the incomplete files that killed processes left in a folder.

    Args:
        folder (str | Path): The folder.
        seconds (float): Age from which an unlocked file counts as left behind. Defaults to the age
            for files of other machines, whose locks may not be visible here; 0 for a folder that is
            locked.
    """
    if fcntl is None:
        return
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not _ASIDE.fullmatch(entry.name):
                continue
            with contextlib.suppress(OSError):
                _remove_leftover(entry.path, seconds)


def _remove_leftover(path: str, seconds: float) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        facts = os.fstat(descriptor)
        if time.time() - facts.st_mtime < seconds or not _lock(descriptor):
            return
        if stat.S_ISDIR(facts.st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    finally:
        os.close(descriptor)
