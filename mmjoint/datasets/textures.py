"""The textures of the generated scenes: what objects are covered with, what they stand on.

A texture takes coordinates ``u`` and ``v``, arrays in periods of its pattern, and a generator, and
gives levels in [0, 1]: how much of the second of two colors a pixel has.
"""

import cv2
import numpy as np

TABLE = 64  # cells after which noise repeats


def _cell(values: np.ndarray) -> np.ndarray:
    """Return where in its period each coordinate lies, in [-0.5, 0.5)."""
    return values - np.floor(values) - 0.5


def _stripes(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _cell(u) < 0


def _checker(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (_cell(u) < 0) ^ (_cell(v) < 0)


def _dots(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _cell(u) ** 2 + _cell(v) ** 2 < 0.33**2


def _targets(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Concentric rings; their centers lie two periods apart."""
    return _cell(2 * np.hypot(2 * _cell(u / 2), 2 * _cell(v / 2)) / 2**0.5) < 0


def _grid(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.minimum(np.abs(_cell(u)), np.abs(_cell(v))) < 0.13


def _bricks(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Long cells between thin lines, every other row shifted by half a cell."""
    shifted = u / 2 + np.floor(v) / 2
    return (np.abs(_cell(v)) > 0.14) & (np.abs(_cell(shifted)) > 0.07)


def _zigzag(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _cell(u + 1.5 * np.abs(_cell(v / 2))) < 0


def _triangles(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _cell(u) < _cell(v)


def _mosaic(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Square cells, each of a level of its own."""
    table = rng.uniform(size=(TABLE, TABLE))
    columns, rows = (np.floor(2 * values).astype(int) % TABLE for values in (u, v))
    return table[rows, columns]


def _noise(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, a value a period, from 0 to 1."""
    table = rng.uniform(size=(TABLE, TABLE)).astype(np.float32)
    around = cv2.copyMakeBorder(table, 2, 2, 2, 2, cv2.BORDER_WRAP)
    x, y = ((values % TABLE + 2).astype(np.float32) for values in (u, v))
    return cv2.remap(around, x, y, cv2.INTER_LINEAR)


def _blotches(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _noise(1.25 * u, 1.25 * v, rng) > 0.5


def _clouds(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 0.7 * _noise(u / 2, v / 2, rng) + 0.3 * _noise(u, v, rng)


def _streaks(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _noise(2 * u, v / 4, rng)


def _grain(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _noise(3 * u, 3 * v, rng)


def _ripples(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    bend = 0.8 * _noise(u / 3, v / 3, rng)
    return 0.5 + 0.5 * np.sin(2 * np.pi * (u + bend))


def _pebbles(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One round spot in each cell, of its own place in it, darker towards its rim."""
    table = rng.uniform(-0.2, 0.2, (2, TABLE, TABLE))
    columns, rows = (np.floor(values).astype(int) % TABLE for values in (u, v))
    x, y = _cell(u) + table[0][rows, columns], _cell(v) + table[1][rows, columns]
    return np.clip(1 - (x**2 + y**2) / 0.2, 0, 1)


SURFACES = {
    'blotches': _blotches,
    'bricks': _bricks,
    'checker': _checker,
    'dots': _dots,
    'grid': _grid,
    'mosaic': _mosaic,
    'stripes': _stripes,
    'targets': _targets,
    'triangles': _triangles,
    'zigzag': _zigzag,
}
GROUNDS = {
    'clouds': _clouds,
    'grain': _grain,
    'pebbles': _pebbles,
    'ripples': _ripples,
    'streaks': _streaks,
}
