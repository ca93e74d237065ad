"""Processes that others started."""

import ctypes
import os
import signal
import sys


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """Have the kernel end this process by a signal when the one that started it ends, killed too.

    It holds for a program that takes the process's place, so that it can be called between fork and
    exec (``subprocess``'s ``preexec_fn``). The parent is the thread that started the process. On
    other systems than Linux nothing happens.

    Args:
        number (int): The signal. Defaults to SIGTERM.
    """
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(1, number)  # 1 is PR_SET_PDEATHSIG


def end_with_launcher() -> None:
    """Have this process end with torchrun, if that started it.

    torchrun gives each process a session of its own, so that the processes of a killed launcher
    would go on training, in the way of the run that is started in its place.
    """
    if 'TORCHELASTIC_RUN_ID' in os.environ:
        end_with_parent()
