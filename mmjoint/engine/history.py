"""mmengine's log histories: kept over a resume, and extended at a constant cost."""

import numpy as np
from mmengine.logging import HistoryBuffer

from ..checkpoints.stand_ins import History


def restore_histories(checkpoint: dict) -> dict:
    """Convert the histories of a checkpoint, read without running its code, to mmengine's.

    mmengine drops everything that is not a ``HistoryBuffer``, with a warning for each.

    Args:
        checkpoint (dict): A checkpoint from ``read_checkpoint``; changed in place.

    Returns:
        dict: The same checkpoint.
    """
    hub = checkpoint.get('message_hub')
    scalars = hub.get('log_scalars') if isinstance(hub, dict) else None
    if isinstance(scalars, dict):
        for name, history in scalars.items():
            if isinstance(history, History):
                scalars[name] = HistoryBuffer(history.values, history.counts)
    return checkpoint


def append_in_place() -> None:
    """Make mmengine's histories append a value without copying.

    ``HistoryBuffer.update`` copies all earlier values of a run, up to a million, in every iteration
    and for each logged value: this takes 0.01 ms after 1,000 iterations and 1 ms after 100,000, on
    one CPU core. With spare room after the values the cost is constant; the values kept and saved
    are the same.
    """
    HistoryBuffer.update = _update


def _update(self: HistoryBuffer, log_val: int | float, count: int = 1) -> None:
    if not isinstance(log_val, (int, float)) or not isinstance(count, (int, float)):
        raise TypeError(
            f'log_val must be int or float but got {type(log_val)}, count must be int but got '
            f'{type(count)}'
        )
    self._log_history = _append(self._log_history, log_val, self.max_length)
    self._count_history = _append(self._count_history, count, self.max_length)


def _append(history: np.ndarray, value: int | float, limit: int) -> np.ndarray:
    """Return the last values of a history and a new one, in the same memory if there is room."""
    dtype = np.result_type(history.dtype, np.asarray(value).dtype)
    room = history.base
    if isinstance(room, _Room) and room.dtype == dtype:
        start = (history.ctypes.data - room.ctypes.data) // dtype.itemsize
        end = start + len(history)
        if end == room.used and end < len(room):
            room[end] = value
            room.used = end + 1
            return _part(room, max(start, room.used - limit))
    room = _Room(2 * len(history) + 64, dtype)
    room[: len(history)] = history
    room[len(history)] = value
    room.used = len(history) + 1
    return _part(room, max(0, room.used - limit))


class _Room(np.ndarray):
    """Memory into which a history grows; ``used`` is the number of values in use."""

    used: int


def _part(room: _Room, start: int) -> np.ndarray:
    """Return the used values from an index on, as a plain array whose base is the room."""
    length, size = room.used - start, room.dtype.itemsize
    return np.ndarray(length, room.dtype, buffer=room, offset=start * size)
