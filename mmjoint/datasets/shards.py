"""WebDatasetShards: images in tar files of the WebDataset format, read in any order.

An index of each tar says where its files lie, so that shards are a data set like a folder: it has a
length, mmengine's samplers shuffle it and split it among processes and workers, whatever the number
and sizes of the shards, and a run resumes as it does from a folder. The price is one random read an
image, as in a folder; what is saved are the look-ups of millions of small files.
"""

import io
import logging
import os
import re
import tarfile
from functools import lru_cache
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info
from mmengine.fileio import BaseStorageBackend, register_backend
from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from ..utils.files import write_output

EXTENSIONS = ('jpg', 'jpeg', 'png', 'webp', 'bmp', 'tif', 'tiff', 'ppm')
INDEX_VERSION = b'v1.2'
_INDEX_LINE = re.compile(rb'(?m)^(?:[^ \n]+ \d+ \d+ [^ \n]+(?: |$))+$')
# webdataset's own: what describes a shard, and no sample.
_META = re.compile(r'__[^/]*__($|/)')
_NO_WEBDATASET = "shards need the package webdataset: pip install 'mmjoint[shards]'"


@register_backend('tar', prefixes='tar')
class TarBackend(BaseStorageBackend):
    """Reads ``tar://OFFSET+SIZE@TAR#NAME``, so that every loading transform reads from shards."""

    def get(self, filepath: str) -> bytes:
        """Read a file of a tar.

        Raises:
            OSError: There is no such tar, or it ends before the file does.
        """
        place, _, rest = str(filepath).removeprefix('tar://').partition('@')
        offset, size = map(int, place.split('+'))
        return _read(rest.rpartition('#')[0], offset, size)

    def get_text(self, filepath: str, encoding: str = 'utf-8') -> str:
        """Read a file of a tar as text."""
        return self.get(filepath).decode(encoding)


def _read(tar: str, offset: int, size: int) -> bytes:
    data = os.pread(_open(tar).fileno(), size, offset)
    if len(data) < size:
        raise OSError(f'{tar}: truncated, it ends {size - len(data)} bytes too early')
    return data


@lru_cache(maxsize=256)  # a process may hold 1024 files open on most systems
def _open(tar: str) -> io.FileIO:
    return open(tar, 'rb', buffering=0)


@DATASETS.register_module()
class WebDatasetShards(BaseDataset):
    """Images in local tar files of the WebDataset format, in the order of the shards.

    Consecutive files whose paths are equal up to the first dot of the name are a sample:
    ``000017.jpg`` and ``000017.cls``. The pipeline and the sampler are those of a folder, and
    ``LoadImageFromFile`` reads from shards as ``LoadImage`` does.

    Beside each tar lies its index, ``train-0001.idx``, in the format of NVIDIA DALI's ``wds2idx``
    (version 1.2). A missing one, or one older than its tar, is made when the data set is built; the
    processes of a run share that work. Nothing else is read then. Samples without an image, such
    as what remains of a download that failed, are left out and told in the log.

    Its data info holds:

    - img_path (str): ``tar://OFFSET+SIZE@TAR#NAME``, for mmengine's file client.
    - gt_label (int): With ``with_label``.

    Args:
        shards (str | list[str]): Paths of the tars, with ``{000..127}`` and ``*``.
        data_root (str): The folder they are relative to. Defaults to ``''``.
        with_label (bool): Whether to read each sample's ``cls``, a class number. Defaults to False.
        extensions (tuple[str]): What an image may be called in a sample, lower case; the first
            that is there is taken. Defaults to those of the common formats.
        **kwargs: As for mmpretrain's ``BaseDataset``: ``pipeline``, ``indices``, ``test_mode``
            and so on.

    Raises:
        FileNotFoundError: A shard does not exist, or a pattern matches none.
        ValueError: A shard is truncated or no uncompressed tar, its index is none or damaged, no
            sample holds an image or, with ``with_label``, one holds no class number.

    Examples:
        >>> dict(type='WebDatasetShards', data_root='data/imagenet_shards',
        ...      shards='train-{000000..000127}.tar', pipeline=[dict(type='LoadImage')])
    """

    def __init__(
        self,
        shards: str | list[str],
        data_root: str = '',
        with_label: bool = False,
        extensions: tuple[str, ...] = EXTENSIONS,
        **kwargs: Any,
    ) -> None:
        self.shards = find_shards(shards, data_root)
        self.with_label = with_label
        self.extensions = tuple(extensions)
        if kwargs.pop('serialize_data', None):
            raise ValueError('serialize_data: the index of shards needs none, leave it out')
        super().__init__(ann_file='', data_root=data_root, serialize_data=False, **kwargs)

    def load_data_list(self) -> np.ndarray:
        """Read the indices; the list is the number of each sample among all shards."""
        texts = read_indices(self.shards)
        self._text = np.frombuffer(b''.join(texts), np.uint8)
        self._ends = np.flatnonzero(self._text == ord('\n'))
        # The first sample of each shard, and one past the last: where the texts start in _ends.
        starts = np.cumsum([0, *map(len, texts)])
        self._firsts = np.searchsorted(self._ends, starts)
        if not len(self._ends):
            raise ValueError(f'{self.shards[0]}: no sample in it or in the other shards')
        lacking = self._lacking(self.extensions)
        if len(lacking):
            tar, parts = self._sample(int(lacking[0]))
            told = (
                f'{tar}: {next(iter(parts.values()))[2]} belongs to a sample without an image '
                f'({", ".join(self.extensions)})'
            )
            if len(lacking) == len(self._ends):
                raise ValueError(told)
            print_log(
                f'{told}; {len(lacking)} such samples of {len(self._ends)} are left out',
                logger='current',
                level=logging.WARNING,
            )
        samples = np.setdiff1d(np.arange(len(self._ends)), lacking)
        unlabelled = (
            np.intersect1d(self._lacking(('cls',)), samples) if self.with_label else samples[:0]
        )
        if len(unlabelled):
            tar, parts = self._sample(int(unlabelled[0]))
            raise ValueError(
                f'{tar}: {next(iter(parts.values()))[2]} belongs to a sample without a cls, one of '
                f'{len(unlabelled)} such samples'
            )
        return samples

    def _lacking(self, extensions: tuple[str, ...]) -> np.ndarray:
        """Return the numbers of the samples that have no file of such an extension."""
        kinds = b'|'.join(re.escape(extension).encode() for extension in extensions)
        pattern = re.compile(rb'(?m)^(?:\S+ \d+ \d+ \S+ )*?(?i:%b) \d+ ' % kinds)
        text = self._text.tobytes()
        having = np.fromiter((found.start() for found in pattern.finditer(text)), np.int64)
        starts = np.concatenate([[0], self._ends[:-1] + 1])
        return np.flatnonzero(~np.isin(starts, having))

    def get_data_info(self, idx: int) -> dict:
        """Get where an image lies and, with ``with_label``, its label."""
        tar, parts = self._sample(int(self.data_list[idx]))
        offset, size, name = next(parts[e] for e in self.extensions if e in parts)
        info = dict(img_path=f'tar://{offset}+{size}@{tar}#{name}', sample_idx=idx % len(self))
        if self.with_label:
            offset, size, name = parts['cls']
            text = _read(tar, int(offset), int(size))
            if not text.strip().isdigit():
                raise ValueError(f'{tar}: {name} holds {text[:20]!r}, expected a class number')
            info['gt_label'] = int(text)
        return info

    def _sample(self, number: int) -> tuple[str, dict[str, list[str]]]:
        """Return a sample's shard and, by extension, its files: offset, size and name."""
        tar = self.shards[int(np.searchsorted(self._firsts, number, 'right')) - 1]
        start = self._ends[number - 1] + 1 if number else 0
        words = self._text[start : self._ends[number]].tobytes().decode().split(' ')
        parts = {words[i].lower(): words[i + 1 : i + 4] for i in range(0, len(words), 4)}
        return tar, parts


def find_shards(shards: str | list[str], data_root: str = '') -> list[str]:
    """Expand the names of shards.

    Args:
        shards (str | list[str]): Paths with ``{000..127}`` and ``*``.
        data_root (str): The folder they are relative to. Defaults to ``''``.

    Returns:
        list[str]: The paths, those that a ``*`` stands for sorted.

    Raises:
        FileNotFoundError: A file does not exist, or a pattern matches none.
    """
    found: list[str] = []
    for pattern in [shards] if isinstance(shards, str) else shards:
        for path in _expand_braces(pattern):
            path = os.path.join(data_root, os.path.expanduser(path))
            matches = [path] if os.path.isfile(path) else sorted(glob(path))
            if not matches:
                raise FileNotFoundError(f'{path}: no such shard')
            found += matches
    if not found:
        raise FileNotFoundError('shards is an empty list, expected paths of tar files')
    return found


def _expand_braces(pattern: str) -> list[str]:
    if '{' not in pattern:
        return [pattern]
    try:
        from webdataset.shardlists import expand_urls
    except ImportError as error:
        raise ImportError(_NO_WEBDATASET) from error
    return expand_urls(pattern)


def read_indices(shards: list[str]) -> list[bytes]:
    """Read the indices of tars, and make and write those that are missing or too old.

    Args:
        shards (list[str]): The tars.

    Returns:
        list[bytes]: For each shard a line a sample, ``EXTENSION OFFSET SIZE NAME`` for each of its
        files, separated by spaces.

    Raises:
        ValueError: A tar is truncated or none, or its index is none.
    """
    rank, processes = get_dist_info()
    texts = {}
    # The processes start at different places and find what others have made meanwhile.
    for i in range(len(shards)):
        shard = shards[(i + rank * len(shards) // processes) % len(shards)]
        texts[shard] = _read_index(Path(shard))
    return [texts[shard] for shard in shards]


def _read_index(tar: Path) -> bytes:
    path = tar.with_suffix('.idx')
    facts = tar.stat()
    if path.is_file() and path.stat().st_mtime_ns >= facts.st_mtime_ns:
        head, _, text = path.read_bytes().partition(b'\n')
        if head != b'%s %d' % (INDEX_VERSION, text.count(b'\n')) or text[-1:] not in (b'', b'\n'):
            raise ValueError(f'{path}: no index of version 1.2 as of wds2idx; delete it')
        if sum(1 for _ in _INDEX_LINE.finditer(text)) != text.count(b'\n'):
            lines = text.split(b'\n')[:-1]
            number = next(i for i, line in enumerate(lines) if not _INDEX_LINE.fullmatch(line))
            raise ValueError(
                f'{path}: line {number + 2} is damaged ({lines[number][:60]!r}); delete the file, '
                'and it is made anew'
            )
        words = text[text.rfind(b'\n', 0, -1) + 1 :].split()
        if words and int(words[-3]) + int(words[-2]) > facts.st_size:
            raise ValueError(f'{tar}: truncated, {path.name} has files beyond its end')
        return text
    text = index_tar(tar)
    head = b'%s %d\n' % (INDEX_VERSION, text.count(b'\n'))
    try:
        write_output(path, head + text)
    except OSError as error:
        print_log(
            f'{error}: this shard is read through at every start',
            logger='current',
            level=logging.WARNING,
        )
    return text


def index_tar(tar: str | Path) -> bytes:
    """Find the samples of a tar.

    Args:
        tar (str | Path): The file; not compressed.

    Returns:
        bytes: As an element of what ``read_indices`` returns.

    Raises:
        ValueError: It is no such file, or truncated.
    """
    try:
        from webdataset.tariterators import base_plus_ext
    except ImportError as error:
        raise ImportError(_NO_WEBDATASET) from error
    lines: list[list[str]] = []
    last = None
    try:
        with tarfile.open(tar, 'r:') as file:
            for member in file:
                key, extension = base_plus_ext(member.name)
                if not member.isreg() or key is None or _META.match(member.name):
                    continue
                if key != last:
                    lines.append([])
                    last = key
                # Spaces and line ends separate, and the name of an image ends after a '#'.
                name = '_'.join(member.name.replace('#', '_').split())
                extension = '_'.join(extension.split())
                lines[-1] += [extension, str(member.offset_data), str(member.size), name]
            end = file.offset
    except tarfile.TarError as error:
        raise ValueError(f'{tar}: truncated, or no uncompressed tar ({error})') from error
    with open(tar, 'rb') as file:
        file.seek(end)
        if file.read(512) != bytes(512):
            raise ValueError(f'{tar}: truncated or damaged, no end mark after {len(lines)} samples')
    text = ''.join(' '.join(line) + '\n' for line in lines)
    return text.encode('utf-8', 'backslashreplace')
