"""Replacements of the names in a pickle: functions that only make values.

`unpickling.py` runs the pickle's program, which can call nothing but these.
"""

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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


class Name:
    """The replacement of a name in a file: the function that runs when the file calls the name."""

    def __init__(self, function: Callable, dtype: torch.dtype | None = None) -> None:
        self.function = function
        self.dtype = dtype  # set if the name is a storage class


class Nothing:
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


class DType:
    """Replaces NumPy's dtype, which a file could change for the whole program."""

    def __init__(self, code: str, *_: object) -> None:
        if not re.fullmatch(r'[<>=|]?([biufc?]\d*|[SU]\d+)', str(code)):
            raise RefusedError(f'an array of dtype {code!r}')
        self.value = np.dtype(str(code))


def check_keys(keys: Iterable[Any]) -> None:
    """Refuse keys that are slow to hash or made to collide."""
    for key in keys:
        parts = key if type(key) is tuple and len(key) <= 16 else (key,)
        for part in parts:
            if not isinstance(part, _PLAIN) or (type(part) is int and abs(part) >> 60):
                raise RefusedError(f'a {type(key).__name__} as a key')


def _ordered(items: Any = (), kind: type = OrderedDict) -> dict:
    items = list(items.items() if isinstance(items, dict) else items)
    check_keys(key for key, _ in items)
    return kind(items)


def set_of(items: Sequence = ()) -> set:
    """Make a set."""
    check_keys(items)
    return set(items)


def _default_dict(*arguments: object) -> dict:
    return _ordered(arguments[1] if len(arguments) > 1 else (), dict)


def _bytes(text: str, encoding: str = 'latin1') -> bytes:
    if encoding not in ('latin1', 'latin-1'):
        raise RefusedError(f'bytes in {encoding!r}')
    return text.encode('latin1')


def _array() -> np.ndarray:
    return np.empty(0, np.uint8)  # its state follows


def set_array(array: np.ndarray, state: tuple) -> None:
    """Fill an array from a state as pickled by NumPy."""
    _, shape, dtype, fortran, data = state
    data = data.encode('latin1') if isinstance(data, str) else data
    _check_array(shape, dtype, data)
    state = 1, shape, dtype.value, bool(fortran), bytes(data)
    array.__setstate__(state)  # type: ignore[arg-type]  # it takes Python's bool


def _check_array(shape: tuple, dtype: DType, data: bytes) -> None:
    if not isinstance(dtype, DType) or not isinstance(data, bytes | bytearray):
        raise RefusedError('an array of objects')
    if any(type(size) is not int or size < 0 for size in shape):
        raise RefusedError(f'an array of shape {shape}')
    if prod(shape) * dtype.value.itemsize != len(data):
        raise RefusedError(f'an array of shape {shape} in {len(data)} bytes')


def _array_of(data: bytes, dtype: DType, shape: tuple, order: Any = 'C') -> np.ndarray:
    _check_array(shape, dtype, data)
    return np.frombuffer(data, dtype.value).reshape(shape, order=order).copy()


def _scalar(dtype: DType, data: bytes) -> np.generic:
    data = data.encode('latin1') if isinstance(data, str) else data
    _check_array((1,), dtype, data)
    return np.frombuffer(data, dtype.value)[0]


def _parameter(value: Tensor, requires_grad: bool = True, *_: object) -> nn.Parameter:
    return nn.Parameter(tensor_of(value), bool(requires_grad) and value.is_floating_point())


def tensor_of(value: Tensor, *_: object) -> Tensor:
    """Return a value that must be a tensor."""
    if not isinstance(value, Tensor):
        raise RefusedError(f'a {type(value).__name__} instead of a tensor')
    return value


def _typed(function: Name, _: object, arguments: tuple, *__: object) -> object:
    """Replaces ``_rebuild_from_type_v2``, which makes a tensor with attributes."""
    if type(function) is not Name:
        raise RefusedError(f'a call of a {type(function).__name__}')
    return function.function(*arguments)


def _size(sizes: tuple = ()) -> torch.Size:
    if any(type(size) is not int for size in sizes):
        raise RefusedError('a torch.Size of no integers')
    return torch.Size(sizes)


def refusal(what: str) -> Callable:
    """Return a replacement that refuses; ``what`` names the kind of value in the message."""

    def refuse(*_: object, **__: object) -> None:
        raise RefusedError(f'{what}; expected dense weights')

    return refuse


CALLS: dict[str, Callable] = {
    'collections.OrderedDict': _ordered,
    'collections.Counter': lambda items=(): _ordered(items, Counter),
    'collections.defaultdict': _default_dict,
    'builtins.set': set_of,
    'builtins.complex': lambda real, imag=0.0: complex(real, imag),
    # A pickled HistoryBuffer of mmengine refers to its own methods through it; the real function
    # would give the file any attribute of any class.
    'builtins.getattr': lambda *_: None,
    'mmengine.logging.history_buffer.HistoryBuffer': lambda *_: History(),
    '_codecs.encode': _bytes,
    'numpy.ndarray': _array,
    'numpy.dtype': DType,
    'numpy.multiarray._reconstruct': lambda *_: _array(),
    'numpy.multiarray.scalar': _scalar,
    'numpy.numeric._frombuffer': _array_of,
    'torch.Size': _size,
    'torch.device': lambda *_: Nothing(),
    'torch.Tensor': refusal('a tensor of PyTorch before 0.4'),
    'torch._utils._rebuild_parameter': _parameter,
    'torch._utils._rebuild_parameter_with_state': _parameter,
    'torch._utils._rebuild_device_tensor_from_cpu_tensor': tensor_of,
    'torch._tensor._rebuild_from_type_v2': _typed,
    'torch.nn.parameter.Parameter': _parameter,
    **{f'torch._utils.{name}': refusal(what) for name, what in _NO_WEIGHTS.items()},
}
