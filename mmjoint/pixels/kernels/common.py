"""What the files of loops share."""

from collections.abc import Callable

from numba import njit, uint64

from . import vectors

# Indices are unsigned, and so are the numbers that they are reckoned with: numba makes floats of
# signed and unsigned together.
ZERO, ONE, TWO, THREE = (uint64(n) for n in range(4))
LANES = uint64(vectors.LANES)
LANES_3, LANES_4 = LANES * THREE, LANES * uint64(4)


def jit(function: Callable, **options: bool) -> Callable:
    """Compile a function at its first call; without the interpreter's lock, dividing as C does."""
    return njit(function, nogil=True, error_model='numpy', **options)


def jit_cached(function: Callable) -> Callable:
    """Compile a function at its first call, and keep what comes of it for later processes."""
    try:
        return jit(function, cache=True)
    except RuntimeError:  # no folder that numba could write its cache to
        return jit(function)
