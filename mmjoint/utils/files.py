"""Files that a tool writes: refused before the work if they cannot be written, and never half."""

import os
from pathlib import Path


def check_output(path: str | Path | None) -> None:
    """Raise if a file could not be written, before the work that gives its content.

    Args:
        path (str | Path | None): The file; None is none to write.

    Raises:
        OSError: Its folder does not exist or may not be written to, or the file is a folder.
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
    """Write a file aside and move it into place.

    Args:
        path (str | Path): The file.
        content (str | bytes): All of it; text becomes UTF-8.

    Raises:
        OSError: As of ``check_output``, or the file cannot be written for another reason.
    """
    check_output(path)
    path = Path(path)
    partial = path.with_name(path.name + '.partial')
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise type(error)(f'cannot write {path}: {error.strerror}') from error
