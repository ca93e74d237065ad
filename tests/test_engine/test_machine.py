import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmjoint.engine.machine import end_workers_with_process


class Stuck(Dataset):
    """Gives the worker's process number, and then nothing more."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Tensor:
        if index:
            time.sleep(600)
        return torch.tensor(os.getpid())


def is_running(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux tells children')
def test_workers_end_with_a_killed_process() -> None:
    """torch's own look for the process that they load for between two batches alone."""
    loader = DataLoader(Stuck(), num_workers=1)
    receive, send = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            end_workers_with_process(loader)
            batches = iter(loader)
            os.write(send, str(int(next(batches))).encode())
            time.sleep(600)
        finally:
            os._exit(1)
    worker = int(os.read(receive, 20))
    try:
        assert is_running(worker)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    deadline = time.monotonic() + 60
    while is_running(worker):
        assert time.monotonic() < deadline
        time.sleep(0.01)
