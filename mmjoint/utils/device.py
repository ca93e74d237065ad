"""Chooses the device of a process, and the number of processes that load its images."""

import os

import torch


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """Choose this process's device and make it the current one.

    Args:
        name (str | torch.device, optional): ``'cpu'``, ``'cuda'``, ``'cuda:1'`` or another kind of
            device that torch has. Without an index, the current device of that kind; in one of
            several processes, the device with the number ``LOCAL_RANK``. Defaults to None, the GPU
            if there is one, otherwise the CPU.

    Returns:
        torch.device: The device, with an index unless it is the CPU.

    Raises:
        ValueError: There is no such device.
    """
    try:
        device = _default_device() if name is None else torch.device(name)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f'device {name!r}: expected cpu, cuda or cuda:NUMBER ({str(error).splitlines()[0]})'
        ) from None
    if device.type in ('cpu', 'meta', 'mps'):
        return device
    kind = getattr(torch, device.type, None)
    if kind is None or not kind.is_available():
        raise ValueError(f'device {device}: torch finds no {device.type} device here')
    index = device.index
    if int(os.environ.get('WORLD_SIZE', 1)) > 1:
        index = int(os.environ.get('LOCAL_RANK', 0))
    elif index is None:
        index = kind.current_device()
    if index >= kind.device_count():
        raise ValueError(
            f'device {device.type}:{index}: there are {kind.device_count()}, numbered from 0'
        )
    kind.set_device(index)  # CUDA refuses a device without an index
    return torch.device(device.type, index)


def loader_workers(most: int = 16) -> int:
    """Return the number of processes that should load images on this machine.

    Args:
        most (int): Upper bound of the result. Defaults to 16.

    Returns:
        int: One per core that this process may use, but at most ``most``.
    """
    return min(most, usable_cores())


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    affinity = getattr(os, 'sched_getaffinity', None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _default_device() -> torch.device:
    """Return the machine's accelerator. MPS has no float64 and is used only on request."""
    device = torch.accelerator.current_accelerator(check_available=True)
    return torch.device('cpu') if device is None or device.type == 'mps' else device
