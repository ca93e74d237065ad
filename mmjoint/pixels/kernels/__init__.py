"""The loops behind ``compiled``: they turn the decoded image into a view of three planes.

docs/kernels.md explains the idea of their arithmetic. Arrays are flat uint8 arrays with colors in
the order B, G, R. Indices are unsigned, since numba checks signed ones for negative values at every
step; arrays are not sliced, since a slice costs as much as a row. Nothing checks bounds at run
time; a test does.
"""

from .views import NUMBERS, apply, draw

__all__ = ['NUMBERS', 'apply', 'draw']
