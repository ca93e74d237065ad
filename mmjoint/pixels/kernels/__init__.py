"""The loops behind ``compiled``: a view's pixels from the decoded image to three planes of memory.

Arrays are flat, uint8, colours in the order B, G, R. Indices are unsigned, since with signed ones
numba looks after negative indices at every step; arrays are not sliced, since a slice costs as much
as a row. Nothing checks bounds but a test.
"""

from .views import apply, draw

__all__ = ['apply', 'draw']
