"""Remembers between runs what was read from large annotation files.

A result is found again by the content of the file, not by its name or time, and by the code that
reads it: a file that has changed in any way, or another version of the reader, is read anew.
"""

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from .findings import Findings
from .packed import read_packed, write_packed

# Smaller files are read in less than a second.
WORTH_A_CACHE = 8_000_000
_KEPT = 4
_RULES = (
    'annotation_loop', 'annotations', 'cache', 'coco', 'findings', 'masks', 'packed', 'parsing',
)  # fmt: skip
_DAMAGED = (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile)


def cache_folder(name: str) -> Path:
    """Return a folder of the user's cache, which need not exist."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache', 'mmjoint', name)


@cache
def _rules() -> bytes:
    """Return a checksum of the code that determines the result of reading a file."""
    folder = Path(__file__).parent
    return hashlib.sha256(
        b''.join(Path(folder, f'{name}.py').read_bytes() for name in _RULES)
    ).digest()


class CheckedAnnotations:
    """The place in the cache for what is read from an annotation file.

    Args:
        content (bytes): The whole file.
        *settings (object): All that determines the result besides, with a ``repr`` that says it.
    """

    def __init__(self, content: bytes, *settings: object) -> None:
        self._path = None
        if len(content) < WORTH_A_CACHE:
            return
        digest = hashlib.blake2b(content, digest_size=20)
        digest.update(_rules() + repr(settings).encode('utf-8', 'surrogateescape'))
        self._path = cache_folder('annotations') / f'{digest.hexdigest()}.npz'

    def read(self, findings: Findings) -> dict | None:
        """Return the data set and record what was left out; None if it has to be read anew."""
        if self._path is None:
            return None
        with contextlib.suppress(*_DAMAGED):
            coco = read_packed(self._path)
            findings.add(coco.pop('findings'))
            with contextlib.suppress(OSError):
                os.utime(self._path)
            return coco
        return None

    def write(self, coco: dict, findings: Findings) -> None:
        """Remember a data set for ``write_packed``, in place of the one unused for longest.

        One with faults is not worth it: its file will change.
        """
        if self._path is None or findings.number_of_faults:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_packed(self._path, dict(coco, findings=findings.state()))
            for path in [*self._by_last_use()][:-_KEPT]:
                path.unlink()

    def _by_last_use(self) -> Iterator[Path]:
        assert self._path is not None
        yield from sorted(self._path.parent.glob('*.npz'), key=lambda path: path.stat().st_mtime)
