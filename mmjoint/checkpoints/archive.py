"""Reads the files that ``torch.save`` writes: zip archives, and the format before PyTorch 1.6."""

import io
import mmap
import sys
import zipfile
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from .stand_ins import RefusedError
from .unpickling import SafeUnpickler

_ZIP = b'PK\x03\x04'
# The older format starts with this number and the version of the format.
_MAGIC = (0x1950A86A20F9469CFC6C, 1001)
_CHUNK = 1 << 22


def load_file(path: Path) -> object:
    """Load a file of ``torch.save`` to the CPU, completely and without running code.

    Args:
        path (Path): The file.

    Returns:
        object: The saved object, made of containers, texts, numbers, arrays and dense tensors.

    Raises:
        Exception: An error of one of many types, whose message says why the file cannot be read.
    """
    with open(path, 'rb') as file:
        is_zip = file.read(4) == _ZIP
        if is_zip:
            with _Archive(path) as archive:
                return archive.load()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _load_legacy(content)


def check_sums(path: Path) -> None:
    """Compare the records of a zip archive with their checksums; other files have none.

    Raises:
        Exception: As documented in ``load_file``.
    """
    with open(path, 'rb') as file:
        if file.read(4) != _ZIP:
            return
    with _Archive(path) as archive:
        archive.check_others()


class _Archive(zipfile.ZipFile):
    """A zip archive written by ``torch.save``."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        records = self.infolist()
        names = [record.filename for record in records]
        if len(set(names)) < len(names):
            raise RefusedError('records of one name')
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise RefusedError('compressed records, which torch.save does not write')
        if sum(record.file_size for record in records) > path.stat().st_size:
            raise RefusedError('records that are together larger than the file')
        # PyTorch can be told to omit the checksums (torch.serialization.set_crc32_options).
        self._unchecked = all(record.CRC == 0 for record in records)
        self._names = set(names)
        self._read: set[str] = set()
        self._storages: dict[str, Tensor] = {}

    def load(self) -> object:
        """Return the saved object, and check the records to which it does not refer."""
        roots = [name for name in self._names if name.endswith('/data.pkl')]
        if len(roots) != 1:
            raise RefusedError('no record data.pkl')
        self._root = roots[0].removesuffix('data.pkl')
        order = self._root + 'byteorder'
        if order in self._names and bytes(self._bytes(order).numpy()) != sys.byteorder.encode():
            raise RefusedError('values in the byte order of another machine')
        content = io.BytesIO(self._bytes(roots[0]).numpy().tobytes())
        value = SafeUnpickler(content, self._storage).load()
        self.check_others()
        return value

    def check_others(self) -> None:
        """Check the records that have not been read."""
        for name in self._names - self._read:
            self._bytes(name)

    def _bytes(self, name: str) -> Tensor:
        record = self.getinfo(name)
        if self._unchecked:
            record.CRC = None  # type: ignore[assignment]  # zipfile then compares nothing
        values = torch.empty(record.file_size, dtype=torch.uint8)
        view = memoryview(values.numpy())  # type: ignore[arg-type]  # an array is a buffer
        with cast(io.BufferedIOBase, self.open(record)) as file:
            start = 0
            # Read once more than there are bytes: the checksum is compared at the end.
            while count := file.readinto(view[start : start + _CHUNK] or bytearray(1)):
                start += count
        if start != len(values):
            raise EOFError(f'{name} ends {len(values) - start} bytes too early')
        self._read.add(name)
        return values

    def _storage(self, dtype: torch.dtype | None, key: str, count: int) -> Tensor:
        if key not in self._storages:
            self._storages[key] = self._bytes(f'{self._root}data/{key}')
        values = self._storages[key]
        size = torch.empty(0, dtype=dtype).element_size() if dtype else 1
        if count * size != len(values):
            raise RefusedError(f'a storage of {count} {dtype} in {len(values)} bytes')
        return values.view(dtype) if dtype else values


def _load_legacy(content: mmap.mmap) -> object:
    storages: dict[str, Tensor] = {}
    left = len(content)

    def storage(
        dtype: torch.dtype | None, key: str, count: int, view: tuple | None = None
    ) -> Tensor:
        nonlocal left
        if key not in storages:
            left -= count * torch.empty(0, dtype=dtype or torch.uint8).element_size()
            if left < 0:
                raise RefusedError(f'storages that are together larger than the file, {count} of')
            storages[key] = torch.empty(count, dtype=dtype or torch.uint8)
        values = storages[key]
        if len(values) != count or values.dtype != (dtype or torch.uint8):
            raise RefusedError(f'two storages of one key, {key}')
        if view is not None:
            _, start, length = view
            if type(start) is not int or type(length) is not int or not 0 <= start <= count:
                raise RefusedError('a view of a storage outside of it')
            values = values[start : start + length]
        return values

    for expected in _MAGIC:
        if SafeUnpickler(content).load() != expected:
            raise ValueError('it does not start like a file of torch.save')
    system = SafeUnpickler(content).load()
    if not isinstance(system, dict) or system.get('little_endian') != (sys.byteorder == 'little'):
        raise RefusedError('values in the byte order of another machine')
    value = SafeUnpickler(content, storage).load()
    keys = SafeUnpickler(content).load()
    if not isinstance(keys, list) or set(map(str, keys)) != storages.keys():
        raise RefusedError('other storages than its tensors lie in')
    for key in keys:
        values = storages[str(key)]
        count = int.from_bytes(content.read(8), sys.byteorder)
        data = content.read(values.numel() * values.element_size())
        if count != len(values) or len(data) != values.numel() * values.element_size():
            raise EOFError(f'the values of storage {key} end too early')
        if data:
            values.copy_(torch.frombuffer(bytearray(data), dtype=values.dtype))
    return value
