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
    return _cell(u) ** 2 + _cell(v) ** 2 < 0.3**2


def _rings(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.abs(np.hypot(_cell(u / 1.5), _cell(v / 1.5)) - 0.3) < 0.1


def _grid(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.minimum(np.abs(_cell(u)), np.abs(_cell(v))) < 0.14


def _bricks(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Long cells between thin lines, every other row shifted by half a cell."""
    shifted = u / 2 + np.floor(v) / 2
    return (np.abs(_cell(v)) > 0.15) & (np.abs(_cell(shifted)) > 0.08)


def _zigzag(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _cell(u + 1.2 * np.abs(_cell(v / 2))) < 0


def _triangles(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _cell(u) < _cell(v)


def _noise(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, a value a period, from 0 to 1."""
    table = np.pad(rng.uniform(size=(TABLE, TABLE)).astype(np.float32), 2, mode='wrap')
    x, y = ((values % TABLE + 2).astype(np.float32) for values in (u, v))
    return cv2.remap(table, x, y, cv2.INTER_LINEAR)


def _stretched(level: np.ndarray, factor: float) -> np.ndarray:
    return np.clip((level - 0.5) * factor + 0.5, 0, 1)


def _blotches(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _stretched(_noise(u, v, rng), 6)


def _clouds(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _noise(u / 2, v / 2, rng)


def _grain(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _stretched(_noise(3 * u, 3 * v, rng), 2)


def _streaks(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _stretched(_noise(2.5 * u, v / 4, rng), 3)


def _ripples(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    bend = 1.2 * _noise(u / 2, v / 2, rng)
    return 0.5 + 0.5 * np.sin(2 * np.pi * (u + bend))


def _pebbles(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One round spot in each cell, of its own place in it, darker towards its rim."""
    table = rng.uniform(-0.2, 0.2, (2, TABLE, TABLE))
    columns, rows = (np.floor(values).astype(int) % TABLE for values in (u, v))
    x, y = _cell(u) + table[0][rows, columns], _cell(v) + table[1][rows, columns]
    return np.clip(1 - (x**2 + y**2) / 0.2, 0, 1)


TEXTURES = {
    'blotches': _blotches,
    'bricks': _bricks,
    'checker': _checker,
    'clouds': _clouds,
    'dots': _dots,
    'grain': _grain,
    'grid': _grid,
    'pebbles': _pebbles,
    'rings': _rings,
    'ripples': _ripples,
    'streaks': _streaks,
    'stripes': _stripes,
    'triangles': _triangles,
    'zigzag': _zigzag,
}
