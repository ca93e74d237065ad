"""The loops behind ``compiled``: a view's pixels from the decoded image to three planes of memory.

The idea of their arithmetic is told in docs/kernels.md. Arrays are flat, uint8, colors in the order
B, G, R. Indices are unsigned, since with signed ones
numba looks after negative indices at every step; arrays are not sliced, since a slice costs as much
as a row. Nothing checks bounds but a test.
"""

from .views import NUMBERS, apply, draw

__all__ = ['NUMBERS', 'apply', 'draw']
