"""An unpickler that calls only the functions in this file.

A pickle is a program for a small machine that may call anything that it names. Here every name is
replaced by one of our own functions or by nothing, so a file can only contain numbers, texts,
containers, arrays and tensors. Keys that are slow to hash, cycles, and containers that share their
parts millions of times are refused.
"""

import pickle
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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
_NO_WEIGHTS = {
    '_rebuild_qtensor': 'a quantized tensor',
    '_rebuild_sparse_tensor': 'a sparse tensor',
    '_rebuild_meta_tensor_no_storage': 'a meta tensor, which has no values',
    '_rebuild_nested_tensor': 'a nested tensor',
    '_rebuild_wrapper_subclass': 'a tensor of a wrapper class',
}
_PLAIN = (str, int, float, bool, bytes, type(None), np.generic, torch.dtype)


class RefusedError(ValueError):
    """The content of a file is refused, for the reason in the message."""


class ForeignError(RefusedError):
    """A file names something that is neither a weight nor part of a known program's checkpoint."""


class _Name:
    """The replacement of a name in a file: the function that runs when the file calls the name."""

    def __init__(self, function: Callable, dtype: torch.dtype | None = None) -> None:
        self.function = function
        self.dtype = dtype  # set if the name is a storage class


class _Nothing:
    """Replaces an object that is not used; whatever the file does with it has no effect."""


class History:
    """Replaces mmengine's HistoryBuffer: the logged ``values`` and their ``counts``."""

    values: np.ndarray = np.empty(0)
    counts: np.ndarray = values

    def take(self, state: object) -> None:
        """Take the numbers from a HistoryBuffer's state, if the state contains them."""
        state = state if isinstance(state, dict) else {}
        kept = [state.get(name) for name in ('_log_history', '_count_history')]
        found = [one for one in kept if isinstance(one, np.ndarray) and one.ndim == 1]
        if len(found) == 2 and len(found[0]) == len(found[1]):
            if all(one.dtype.kind in 'iuf' for one in found):
                self.values, self.counts = found


class _DType:
    """Replaces NumPy's dtype, which a file could change for the whole program."""

    def __init__(self, code: str, *_: object) -> None:
        if not re.fullmatch(r'[<>=|]?([biufc?]\d*|[SU]\d+)', str(code)):
            raise RefusedError(f'an array of dtype {code!r}')
        self.value = np.dtype(str(code))


def _keys(keys: Iterable[Any]) -> None:
    """Refuse keys that are slow to hash or made to collide."""
    for key in keys:
        parts = key if type(key) is tuple and len(key) <= 16 else (key,)
        for part in parts:
            if not isinstance(part, _PLAIN) or (type(part) is int and abs(part) >> 60):
                raise RefusedError(f'a {type(key).__name__} as a key')


def _ordered(items: Any = (), kind: type = OrderedDict) -> dict:
    items = list(items.items() if isinstance(items, dict) else items)
    _keys(key for key, _ in items)
    return kind(items)


def _set(items: Sequence = ()) -> set:
    _keys(items)
    return set(items)


def _default_dict(*arguments: object) -> dict:
    return _ordered(arguments[1] if len(arguments) > 1 else (), dict)


def _bytes(text: str, encoding: str = 'latin1') -> bytes:
    if encoding not in ('latin1', 'latin-1'):
        raise RefusedError(f'bytes in {encoding!r}')
    return text.encode('latin1')


def _array() -> np.ndarray:
    return np.empty(0, np.uint8)  # its state follows


def _set_array(array: np.ndarray, state: tuple) -> None:
    _, shape, dtype, fortran, data = state
    data = data.encode('latin1') if isinstance(data, str) else data
    _check_array(shape, dtype, data)
    state = 1, shape, dtype.value, bool(fortran), bytes(data)
    array.__setstate__(state)  # type: ignore[arg-type]  # it takes Python's bool


def _check_array(shape: tuple, dtype: _DType, data: bytes) -> None:
    if not isinstance(dtype, _DType) or not isinstance(data, bytes | bytearray):
        raise RefusedError('an array of objects')
    if any(type(size) is not int or size < 0 for size in shape):
        raise RefusedError(f'an array of shape {shape}')
    if prod(shape) * dtype.value.itemsize != len(data):
        raise RefusedError(f'an array of shape {shape} in {len(data)} bytes')


def _array_of(data: bytes, dtype: _DType, shape: tuple, order: Any = 'C') -> np.ndarray:
    _check_array(shape, dtype, data)
    return np.frombuffer(data, dtype.value).reshape(shape, order=order).copy()


def _scalar(dtype: _DType, data: bytes) -> np.generic:
    data = data.encode('latin1') if isinstance(data, str) else data
    _check_array((1,), dtype, data)
    return np.frombuffer(data, dtype.value)[0]


def _parameter(value: Tensor, requires_grad: bool = True, *_: object) -> nn.Parameter:
    return nn.Parameter(_tensor(value), bool(requires_grad) and value.is_floating_point())


def _tensor(value: Tensor, *_: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise RefusedError(f'a {type(value).__name__} instead of a tensor')
    return value


def _typed(function: _Name, _: object, arguments: tuple, *__: object) -> object:
    """Replaces ``_rebuild_from_type_v2``, which makes a tensor with attributes."""
    if type(function) is not _Name:
        raise RefusedError(f'a call of a {type(function).__name__}')
    return function.function(*arguments)


def _size(sizes: tuple = ()) -> torch.Size:
    if any(type(size) is not int for size in sizes):
        raise RefusedError('a torch.Size of no integers')
    return torch.Size(sizes)


def _refuse(what: str) -> Callable:
    def refuse(*_: object, **__: object) -> None:
        raise RefusedError(f'{what}; expected dense weights')

    return refuse


_CALLS: dict[str, Callable] = {
    'collections.OrderedDict': _ordered,
    'collections.Counter': lambda items=(): _ordered(items, Counter),
    'collections.defaultdict': _default_dict,
    'builtins.set': _set,
    'builtins.complex': lambda real, imag=0.0: complex(real, imag),
    # A pickled HistoryBuffer of mmengine refers to its own methods through it; the real function
    # would give the file any attribute of any class.
    'builtins.getattr': lambda *_: None,
    'mmengine.logging.history_buffer.HistoryBuffer': lambda *_: History(),
    '_codecs.encode': _bytes,
    'numpy.ndarray': _array,
    'numpy.dtype': _DType,
    'numpy.multiarray._reconstruct': lambda *_: _array(),
    'numpy.multiarray.scalar': _scalar,
    'numpy.numeric._frombuffer': _array_of,
    'torch.Size': _size,
    'torch.device': lambda *_: _Nothing(),
    'torch.Tensor': _refuse('a tensor of PyTorch before 0.4'),
    'torch._utils._rebuild_parameter': _parameter,
    'torch._utils._rebuild_parameter_with_state': _parameter,
    'torch._utils._rebuild_device_tensor_from_cpu_tensor': _tensor,
    'torch._tensor._rebuild_from_type_v2': _typed,
    'torch.nn.parameter.Parameter': _parameter,
    **{f'torch._utils.{name}': _refuse(what) for name, what in _NO_WEIGHTS.items()},
}


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
        call = _CALLS.get(re.sub(r'^numpy\._?core\.', 'numpy.', full))
        if full in ('torch._utils._rebuild_tensor', 'torch._utils._rebuild_tensor_v2'):
            call = self._rebuild_tensor
        elif full == 'torch._utils._rebuild_tensor_v3':
            call = self._rebuild_tensor_v3
        if call is not None:
            return _Name(call)
        if full in ('torch.storage.UntypedStorage', 'torch.UntypedStorage'):
            return _Name(_refuse('a storage'))
        storage = re.fullmatch(r'torch\.(?:cuda\.)?(\w+)Storage', full)
        if storage and storage[1] in _STORAGES:
            return _Name(_refuse('a storage'), _STORAGES[storage[1]])
        if module == 'torch' and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if _INERT.match(full):
            return _Name(lambda *_: _Nothing())
        raise ForeignError(full.removeprefix('builtins.'))

    def persistent_load(self, pid: object) -> Tensor:
        """Return the storage in which a tensor lies."""
        if self._load_storage is None or not isinstance(pid, tuple) or len(pid) < 5:
            raise RefusedError('a reference to what the file does not have')
        kind, name, key, _, count, *more = pid
        if kind != 'storage' or type(name) is not _Name or type(count) is not int or count < 0:
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
        _tensor(storage)
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
        if type(name) is not _Name or type(arguments) is not tuple:
            raise RefusedError(f'a call of a {type(name).__name__}')
        self.stack[-1] = name.function(*arguments)

    def _build(self) -> None:
        state, value = self.stack.pop(), self.stack[-1]
        if type(value) is OrderedDict and isinstance(state, dict):
            vars(value).update(_attributes(state))
        elif type(value) is np.ndarray:
            _set_array(value, state)
        elif type(value) is _DType:
            value.value = value.value.newbyteorder('>' if state[1] == '>' else '=')
        elif type(value) is History:
            value.take(state)
        elif type(value) is not _Nothing:
            raise RefusedError(f'a state of a {type(value).__name__}')

    def _set_items(self, items: list) -> None:
        target = self.stack[-1]
        if type(target) in (dict, OrderedDict, Counter):
            _keys(items[::2])
            target.update(zip(items[::2], items[1::2], strict=True))
        elif type(target) is not _Nothing:
            raise RefusedError(f'items of a {type(target).__name__}')

    def _append(self, items: list) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif type(target) is not _Nothing:
            raise RefusedError(f'items of a {type(target).__name__}')

    def _add(self) -> None:
        items, target = self.pop_mark(), self.stack[-1]
        if type(target) is not set:
            raise RefusedError(f'items of a {type(target).__name__}')
        target.update(_set(items))

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
