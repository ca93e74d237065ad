"""Lists the images of a folder, in the same way for all data sets and tools."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from mmengine.logging import print_log

EXTENSIONS = ('.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')
# Folders that macOS adds to zips and Synology to folders of photos.
_NOT_OURS = ('__MACOSX', '@eaDir')


def is_hidden(name: str) -> bool:
    """Tell whether a name is another program's, such as ``.ipynb_checkpoints`` or ``._a.jpg``."""
    return name.startswith('.') or name in _NOT_OURS


def class_folders(folder: str | Path) -> list[str]:
    """Return the names of the folders in a folder that are not hidden, sorted."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name for entry in entries if entry.is_dir() and not is_hidden(entry.name)
        )


def list_images(
    folder: str | Path, extensions: Iterable[str] = EXTENSIONS, deep: bool = True
) -> list[str]:
    """List the images of a folder, without hidden files and folders.

    Links are followed. Broken links, and entries that have an image's name but are not files, are
    left out and reported in the log.

    Args:
        folder (str | Path): The folder.
        extensions (Iterable[str]): Endings of the names, in upper or lower case. Defaults to the
            common formats.
        deep (bool): Whether subfolders are searched too. Defaults to True.

    Returns:
        list[str]: Paths relative to the folder, sorted.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    endings = tuple(extension.lower() for extension in extensions)
    found: list[str] = []
    left_out: list[str] = []
    pending, seen = [''], set()
    while pending:
        inner = pending.pop()
        place = os.path.join(folder, inner)
        try:
            facts = os.stat(place)
            entries = os.scandir(place)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(f'{place}: no such folder of images') from error
        if (facts.st_dev, facts.st_ino) in seen:  # a link to a folder above
            continue
        seen.add((facts.st_dev, facts.st_ino))
        with entries:
            for entry in entries:
                path = os.path.join(inner, entry.name)
                if is_hidden(entry.name):
                    continue
                if entry.is_dir():
                    pending += [path] if deep else []
                elif entry.name.lower().endswith(endings):
                    (found if entry.is_file() else left_out).append(path)
    if left_out:
        print_log(
            f'{printable(folder)}: {len(left_out)} images left out whose links lead nowhere or '
            f'that are not files, such as {printable(min(left_out))}',
            logger='current',
            level=logging.WARNING,
        )
    return sorted(found)


def printable(path: str | Path) -> str:
    """Return a path as text that every file and terminal accepts, whatever bytes its name has."""
    return os.fsencode(path).decode('utf-8', 'backslashreplace')
