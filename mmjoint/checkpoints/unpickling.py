"""An unpickler that calls only our own functions.

A pickle is a program for a small machine that may call anything that it names. Here every name is
replaced by one of our own functions or by nothing, so a file can only contain numbers, texts,
containers, arrays and tensors. Keys that are slow to hash, cycles, and containers that share their
parts millions of times are refused.
"""

import pickle
import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .stand_ins import (
    CALLS,
    DType,
    ForeignError,
    History,
    Name,
    Nothing,
    RefusedError,
    check_keys,
    refusal,
    set_array,
    set_of,
    tensor_of,
)

MAX_INSTRUCTIONS = 20_000_000
MAX_DEPTH = 64
MAX_ITEMS = 20_000_000
# Values that tensors may have in addition to those stored in the file, by strides of 0.
MAX_EXPANDED = 1 << 28

_STORAGES = dict(
    Double=torch.float64, Float=torch.float32, Half=torch.float16, BFloat16=torch.bfloat16,
    Long=torch.int64, Int=torch.int32, Short=torch.int16, Char=torch.int8, Byte=torch.uint8,
    Bool=torch.bool, ComplexDouble=torch.complex128, ComplexFloat=torch.complex64,
)  # fmt: skip
# Objects that are not used: their content is read and dropped.
_INERT = re.compile(
    r'(argparse|mmengine|pathlib|omegaconf|lightning|pytorch_lightning|lightning_fabric)\b'
    r'|(builtins\.(dict|list|int|float|str|bool|slice)|typing\.Any)$'
)


class _Instructions(dict):
    """Maps each instruction to its function, and counts the instructions."""

    left = MAX_INSTRUCTIONS

    def __getitem__(self, code: int) -> Callable:
        self.left -= 1
        if self.left < 0:
            raise RefusedError(f'a pickle of more than {MAX_INSTRUCTIONS} instructions')
        return super().__getitem__(code)

    def __missing__(self, code: int) -> Callable:
        raise pickle.UnpicklingError(
            f'the byte {bytes([code])!r} is not an instruction of its pickle'
        )


class SafeUnpickler(pickle._Unpickler):  # Python's own, written in Python
    """Python's unpickler, with every call that a file makes replaced.

    Args:
        file: A file object with ``read`` and ``readline``, whose reads must end at the file's end.
        load_storage (Callable, optional): Maps a dtype (None: bytes), a key, a number of values
            and further arguments of a persistent id to the one-dimensional tensor that they name.
            Defaults to None: the file has no storages.
    """

    # Attributes of Python's own unpickler, which declares no types.
    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list]
    read: Callable[[int], bytes]

    def __init__(self, file: Any, load_storage: Callable[..., Tensor] | None = None) -> None:
        super().__init__(file, encoding='latin1')
        self._load_storage = load_storage
        self._expanded = 0
        # One table per object, since each counts its own instructions.
        self.dispatch = _Instructions(_HANDLERS)  # type: ignore[misc]

    def load(self) -> object:
        """Read one object.

        Returns:
            object: The object, made of containers, texts, numbers, arrays and tensors, without
                cycles.

        Raises:
            RefusedError: The file contains something that is refused, or would exhaust the machine.
        """
        value = super().load()
        _measure(value, 0, {}, set())
        return value

    def find_class(self, module: str, name: str) -> object:
        """Return the replacement of a name; no module is imported for it."""
        full = f'{module}.{name}'.replace('__builtin__.', 'builtins.')
        # `numpy._core` is numpy 2's name and `numpy.core` numpy 1's.
        call = CALLS.get(re.sub(r'^numpy\._?core\.', 'numpy.', full))
        if full in ('torch._utils._rebuild_tensor', 'torch._utils._rebuild_tensor_v2'):
            call = self._rebuild_tensor
        elif full == 'torch._utils._rebuild_tensor_v3':
            call = self._rebuild_tensor_v3
        if call is not None:
            return Name(call)
        if full in ('torch.storage.UntypedStorage', 'torch.UntypedStorage'):
            return Name(refusal('a storage'))
        storage = re.fullmatch(r'torch\.(?:cuda\.)?(\w+)Storage', full)
        if storage and storage[1] in _STORAGES:
            return Name(refusal('a storage'), _STORAGES[storage[1]])
        if module == 'torch' and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if _INERT.match(full):
            return Name(lambda *_: Nothing())
        raise ForeignError(full.removeprefix('builtins.'))

    def persistent_load(self, pid: object) -> Tensor:
        """Return the storage in which a tensor lies."""
        if self._load_storage is None or not isinstance(pid, tuple) or len(pid) < 5:
            raise RefusedError('a reference to what the file does not have')
        kind, name, key, _, count, *more = pid
        if kind != 'storage' or type(name) is not Name or type(count) is not int or count < 0:
            raise RefusedError('a reference that is not a storage of a tensor')
        return self._load_storage(name.dtype, str(key), count, *more)

    def _rebuild_tensor_v3(
        self, storage: Tensor, offset: int, size: tuple, stride: tuple, grad: bool, hooks: object,
        dtype: torch.dtype, *_: object,
    ) -> Tensor:  # fmt: skip
        return self._rebuild_tensor(storage.view(torch.uint8).view(dtype), offset, size, stride)

    def _rebuild_tensor(
        self, storage: Tensor, offset: int, size: tuple, stride: tuple, *_: object
    ) -> Tensor:
        numbers = (offset, *size, *stride)
        if any(type(number) is not int or number < 0 for number in numbers):
            raise RefusedError(f'a tensor of shape {tuple(size)} and strides {tuple(stride)}')
        tensor_of(storage)
        count = prod(size)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if count and last >= len(storage):
            raise RefusedError(f'a tensor of shape {tuple(size)} in {len(storage)} stored values')
        self._expanded += max(0, count - len(storage))
        if self._expanded > MAX_EXPANDED:
            raise RefusedError(f'a tensor of shape {tuple(size)} in {len(storage)} stored values')
        return storage.as_strided(size, stride, offset)

    def _call(self) -> None:
        arguments, name = self.stack.pop(), self.stack[-1]
        if type(name) is not Name or type(arguments) is not tuple:
            raise RefusedError(f'a call of a {type(name).__name__}')
        self.stack[-1] = name.function(*arguments)

    def _build(self) -> None:
        state, value = self.stack.pop(), self.stack[-1]
        if type(value) is OrderedDict and isinstance(state, dict):
            vars(value).update(_attributes(state))
        elif type(value) is np.ndarray:
            set_array(value, state)
        elif type(value) is DType:
            value.value = value.value.newbyteorder('>' if state[1] == '>' else '=')
        elif type(value) is History:
            value.take(state)
        elif type(value) is not Nothing:
            raise RefusedError(f'a state of a {type(value).__name__}')

    def _set_items(self, items: list) -> None:
        target = self.stack[-1]
        if type(target) in (dict, OrderedDict, Counter):
            check_keys(items[::2])
            target.update(zip(items[::2], items[1::2], strict=True))
        elif type(target) is not Nothing:
            raise RefusedError(f'items of a {type(target).__name__}')

    def _append(self, items: list) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif type(target) is not Nothing:
            raise RefusedError(f'items of a {type(target).__name__}')

    def _add(self) -> None:
        items, target = self.pop_mark(), self.stack[-1]
        if type(target) is not set:
            raise RefusedError(f'items of a {type(target).__name__}')
        target.update(set_of(items))

    def _bytearray(self) -> None:
        # Python's unpickler allocates memory before it knows that the file is as long as it states.
        self.append(bytearray(self.read(int.from_bytes(self.read(8), 'little'))))

    def _one(self, count: int) -> list:
        items = self.stack[-count:]
        if len(items) < count or len(self.stack) == count:
            raise pickle.UnpicklingError('its pickle ends within a container')
        del self.stack[-count:]
        return items


def _attributes(state: dict) -> dict:
    """Return the attributes of a state dict that are used: layer versions and our provenance."""
    kept = {'mmjoint': state['mmjoint']} if isinstance(state.get('mmjoint'), dict) else {}
    layers = state.get('_metadata')
    if isinstance(layers, dict):
        kept['_metadata'] = OrderedDict(
            (name, {'version': facts['version']})
            for name, facts in layers.items()
            if isinstance(facts, dict) and type(facts.get('version')) is int
        )
    return kept


def _measure(value: object, depth: int, known: dict, open_: set) -> tuple[int, int]:
    """Count the items and levels of a container; items that it contains twice count twice."""
    if not isinstance(value, dict | list | tuple | set):
        return 1, 0
    if id(value) in known:
        return known[id(value)]
    if id(value) in open_:
        raise RefusedError(f'a {type(value).__name__} that holds itself')
    if depth > MAX_DEPTH:
        raise RefusedError(f'containers nested more than {MAX_DEPTH} deep')
    open_.add(id(value))
    count, levels = 1, 0
    items = [*value.values()] if isinstance(value, dict) else [*value]
    if type(value) is OrderedDict:
        items += vars(value).values()
    for item in items:
        inner, below = _measure(item, depth + 1, known, open_)
        count, levels = count + inner, max(levels, below + 1)
    open_.remove(id(value))
    if count > MAX_ITEMS:
        raise RefusedError(f'containers of more than {MAX_ITEMS} items')
    if levels > MAX_DEPTH:
        raise RefusedError(f'containers nested more than {MAX_DEPTH} deep')
    known[id(value)] = count, levels
    return count, levels


# Instructions of Python and PyTorch picklers from protocol 2 on that only make values.
_PLAIN_INSTRUCTIONS = (
    'PROTO FRAME STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 '
    'BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BINSTRING '
    'SHORT_BINSTRING EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST EMPTY_DICT EMPTY_SET GLOBAL '
    'STACK_GLOBAL BINPERSID BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE'
).split()
_HANDLERS = {
    getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]]
    for name in _PLAIN_INSTRUCTIONS
} | {
    pickle.REDUCE[0]: SafeUnpickler._call,
    pickle.NEWOBJ[0]: SafeUnpickler._call,
    pickle.BUILD[0]: SafeUnpickler._build,
    pickle.SETITEM[0]: lambda self: self._set_items(self._one(2)),
    pickle.SETITEMS[0]: lambda self: self._set_items(self.pop_mark()),
    pickle.APPEND[0]: lambda self: self._append(self._one(1)),
    pickle.APPENDS[0]: lambda self: self._append(self.pop_mark()),
    pickle.ADDITEMS[0]: SafeUnpickler._add,
    pickle.BYTEARRAY8[0]: SafeUnpickler._bytearray,
}
