"""WebDatasetShards: images in tar files of the WebDataset format, readable in any order.

An index of each tar says where its files lie, so that shards form a data set like a folder: it has
a length, mmengine's samplers shuffle it and split it among processes and workers, whatever the
number and sizes of the shards, and a run resumes as from a folder. The price is one random read per
image, as with a folder; the look-ups of millions of small files are saved.
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

from ..utils.files import encode, write_output

EXTENSIONS = ('jpg', 'jpeg', 'png', 'webp', 'bmp', 'tif', 'tiff', 'ppm')
INDEX_VERSION = b'v1.2'
_INDEX_LINE = re.compile(rb'(?m)^(?:[^ \n]+ \d+ \d+ [^ \n]+(?: |$))+$')
# Extensions that webdataset uses for descriptions of a shard, which are not samples.
_META = re.compile(r'__[^/]*__($|/)')
_NO_WEBDATASET = "shards need the package webdataset: pip install 'mmjoint[shards]'"


@register_backend('tar', prefixes='tar')
class TarBackend(BaseStorageBackend):
    """Reads ``tar://OFFSET+SIZE@TAR#NAME``, so that every loading transform can read shards."""

    def get(self, filepath: str) -> bytes:
        """Read a file of a tar archive.

        Raises:
            OSError: There is no such tar archive, or it ends before the file does.
        """
        place, _, rest = str(filepath).removeprefix('tar://').partition('@')
        offset, size = map(int, place.split('+'))
        return _read(rest.rpartition('#')[0], offset, size)

    def get_text(self, filepath: str, encoding: str = 'utf-8') -> str:
        """Read a file of a tar archive as text."""
        return self.get(filepath).decode(encoding)


def _read(tar: str, offset: int, size: int) -> bytes:
    data = os.pread(_open(tar).fileno(), size, offset)
    if len(data) < size:
        raise OSError(f'{tar}: truncated, it ends {size - len(data)} bytes too early')
    return data


@lru_cache(maxsize=256)  # most systems allow a process 1024 open files
def _open(tar: str) -> io.FileIO:
    return open(tar, 'rb', buffering=0)


@DATASETS.register_module()
class WebDatasetShards(BaseDataset):
    """Images in local tar files of the WebDataset format, in the order of the shards.

    Consecutive files whose paths are equal up to the first dot of the name form a sample:
    ``000017.jpg`` and ``000017.cls``. The pipeline and the sampler are those of a folder, and
    ``LoadImageFromFile`` reads from shards as ``LoadImage`` does.

    Each tar has its index next to it, ``train-0001.idx``, in the format of NVIDIA DALI's
    ``wds2idx`` (version 1.2). If an index is missing or older than its tar, it is made when the
    data set is built; the processes of a run share that work. Otherwise nothing but the indices is
    read at the start. Samples without an image, such as the remains of a failed download, are left
    out and reported in the log.

    Its data info holds:

    - img_path (str): ``tar://OFFSET+SIZE@TAR#NAME``, for mmengine's file client.
    - gt_label (int): The label, if ``with_label`` is True.

    Args:
        shards (str | list[str]): Paths of the tar files, with ``{000..127}`` and ``*``.
        data_root (str): The folder to which they are relative. Defaults to ``''``.
        with_label (bool): Whether to read each sample's ``cls``, a class number. Defaults to False.
        extensions (tuple[str]): Extensions of images in a sample, in lower case; the first that a
            sample has is used. Defaults to those of the common formats.
        **kwargs: Arguments of mmpretrain's ``BaseDataset``: ``pipeline``, ``indices``,
            ``test_mode`` and so on.

    Raises:
        FileNotFoundError: A shard does not exist, or a pattern matches none.
        ValueError: A shard is truncated or is not an uncompressed tar, its index is damaged or is
            not an index, no sample contains an image or, with ``with_label``, one contains no class
            number.

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
        # The first sample of each shard, and one past the last; _ends uses the same numbering.
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
        """Return the numbers of the samples that have no file with such an extension."""
        kinds = b'|'.join(re.escape(extension).encode() for extension in extensions)
        pattern = re.compile(rb'(?m)^(?:\S+ \d+ \d+ \S+ )*?(?i:%b) \d+ ' % kinds)
        text = self._text.tobytes()
        having = np.fromiter((found.start() for found in pattern.finditer(text)), np.int64)
        starts = np.concatenate([[0], self._ends[:-1] + 1])
        return np.flatnonzero(~np.isin(starts, having))

    def get_data_info(self, idx: int) -> dict:
        """Return where an image lies and, with ``with_label``, its label."""
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
        """Return the shard of a sample and, by extension, its files: offset, size and name."""
        tar = self.shards[int(np.searchsorted(self._firsts, number, 'right')) - 1]
        start = self._ends[number - 1] + 1 if number else 0
        words = (
            self._text[start : self._ends[number]]
            .tobytes()
            .decode('utf-8', 'backslashreplace')
            .split(' ')
        )
        parts = {words[i].lower(): words[i + 1 : i + 4] for i in range(0, len(words), 4)}
        return tar, parts


def find_shards(shards: str | list[str], data_root: str = '') -> list[str]:
    """Expand the names of shards.

    Args:
        shards (str | list[str]): Paths with ``{000..127}`` and ``*``.
        data_root (str): The folder to which they are relative. Defaults to ``''``.

    Returns:
        list[str]: The paths; those that match a ``*`` are sorted.

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
    """Read the indices of tar files; make and write those that are missing or too old.

    Args:
        shards (list[str]): The tar files.

    Returns:
        list[bytes]: For each shard one line per sample, ``EXTENSION OFFSET SIZE NAME`` for each of
        its files, separated by spaces.

    Raises:
        ValueError: A tar is truncated or not a tar, or its index is not an index.
    """
    rank, processes = get_dist_info()
    texts = {}
    # The processes start at different places and use what others have made meanwhile.
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
            raise ValueError(f'{path}: not an index of version 1.2 as wds2idx writes it; delete it')
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
        tar (str | Path): The tar file, not compressed.

    Returns:
        bytes: The index, in the form of an element of ``read_indices``'s result.

    Raises:
        ValueError: It is not an uncompressed tar, or it is truncated.
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
                # Spaces and line ends are separators, and '#' starts the name of an image.
                name = '_'.join(member.name.replace('#', '_').split())
                extension = '_'.join(extension.split())
                lines[-1] += [extension, str(member.offset_data), str(member.size), name]
            end = file.offset
    except tarfile.TarError as error:
        raise ValueError(f'{tar}: truncated, or not an uncompressed tar ({error})') from error
    with open(tar, 'rb') as file:
        file.seek(end)
        if file.read(512) != bytes(512):
            raise ValueError(f'{tar}: truncated or damaged, no end mark after {len(lines)} samples')
    text = ''.join(' '.join(line) + '\n' for line in lines)
    return encode(text)
