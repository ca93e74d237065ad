"""What the files of loops share: numeric types and how functions are compiled."""

from collections.abc import Callable
from typing import Any

from numba import njit, uint64

from . import vectors

# Indices are unsigned, and so are the numbers in index arithmetic: numba turns an operation on a
# signed and an unsigned integer into floating point.
ZERO, ONE, TWO, THREE = (uint64(n) for n in range(4))
LANES = uint64(vectors.LANES)
LANES_3, LANES_4 = LANES * THREE, LANES * uint64(4)


def jit(function: Callable, **options: Any) -> Callable:
    """Compile a function at its first call; it releases the GIL and divides as C does."""
    return njit(function, nogil=True, error_model='numpy', **options)


def jit_cached(function: Callable) -> Callable:
    """Compile a function at its first call, and cache the result for later processes."""
    try:
        return jit(function, cache=True)
    except RuntimeError:  # there is no folder for numba's cache
        return jit(function)
