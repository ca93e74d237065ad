"""Fits a config to the machine: with GPUs or without, in one process or in several over gloo.

Without a GPU mmengine's ``init_dist`` calls ``torch.cuda.set_device``, its DistributedDataParallel
wrapper gets the number of a GPU, SyncBatchNorm refuses CPU tensors and AmpOptimWrapper refuses to
start. But the Runner does not touch processes that are already connected, and takes a model wrapper
from the config, so all of this can be set before the Runner is built.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import torch
import torch.distributed as dist
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS, OPTIM_WRAPPERS
from mmengine.runner import autocast
from torch import nn
from torch.utils.data import DataLoader

from ..utils.processes import end_with_launcher, end_with_parent
from .config import dataloaders


def fit_to_machine(cfg: Config) -> None:
    """Fit a config to the machine; with GPUs nothing changes.

    Args:
        cfg (Config): A config with a ``launcher``; changed in place.

    Raises:
        ValueError: If the launcher's variables are not set or there are too few GPUs.
    """
    if cfg.launcher == 'slurm':
        _require_environment('slurm', 'srun', ['SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'])
    elif cfg.launcher == 'pytorch':
        names = ['RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT']
        _require_environment('pytorch', 'tools/dist_train.sh or torchrun', names)
        end_with_launcher()
    if get_device() == 'cpu':
        for loader in dataloaders(cfg):
            loader.pin_memory = False
        fit_to_cpu(cfg)
    elif get_device() == 'cuda':
        processes = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
        if processes > torch.cuda.device_count():
            raise ValueError(
                f'{processes} processes for {torch.cuda.device_count()} GPUs: start at most one '
                'per GPU, or set CUDA_VISIBLE_DEVICES=-1 to run on the CPU'
            )


def _require_environment(launcher: str, starter: str, names: list[str]) -> None:
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise ValueError(
            f'--launcher {launcher} is for processes that {starter} started: '
            f'{", ".join(missing)} not in the environment'
        )


def end_workers_with_process(loader: DataLoader) -> None:
    """Have the kernel end a data loader's workers when the process that they load for is killed.

    A worker that lives on for some seconds writes a traceback about the connection that is gone.

    Args:
        loader (DataLoader): Not iterated yet.
    """
    loader.worker_init_fn = partial(_start_worker, loader.worker_init_fn)


def _start_worker(initialize: Callable[[int], None] | None, number: int) -> None:
    end_with_parent(signal.SIGKILL)
    if initialize is not None:
        initialize(number)


def fit_to_cpu(cfg: Config) -> None:
    """Fit a config to a machine without GPUs, and connect the processes if there are several.

    Args:
        cfg (Config): A config with a ``launcher``; changed in place.

    Raises:
        ValueError: If the launcher is mpi, which mmengine supports on GPUs only.
    """
    _keep_freed_memory()
    wrapper = cfg.get('optim_wrapper')
    if wrapper and wrapper.get('type') == 'AmpOptimWrapper':
        wrapper.type = 'CPUAmpOptimWrapper'
        wrapper.pop('loss_scale', None)
        dtype = wrapper.pop('dtype', None)
        if dtype not in (None, 'bfloat16'):
            print_log(f'No GPU: mixed precision is bfloat16, not {dtype}')
    if cfg.launcher == 'none':
        return
    if cfg.launcher == 'mpi':
        raise ValueError('--launcher mpi needs GPUs; on the CPU start with tools/dist_train.sh')
    if cfg.launcher == 'slurm':
        _name_slurm_processes()
    env_cfg = cfg.setdefault('env_cfg', ConfigDict())
    dist_cfg = env_cfg.setdefault('dist_cfg', ConfigDict())
    dist_cfg.backend = 'gloo'
    dist.init_process_group('gloo', timeout=timedelta(seconds=dist_cfg.get('timeout', 1800)))
    # mmengine sets both to 1 if they are not set: that is right for a process that only feeds a
    # GPU, but ruinous for a process that trains on the CPU.
    for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS'):
        os.environ.setdefault(name, str(torch.get_num_threads()))
    wrapper = cfg.get('model_wrapper_cfg') or ConfigDict(
        broadcast_buffers=False, find_unused_parameters=cfg.get('find_unused_parameters', False)
    )
    if wrapper.get('type') in (None, 'MMDistributedDataParallel'):
        wrapper.type = 'CPUDistributedDataParallel'
    cfg.model_wrapper_cfg = wrapper


def _keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next step.

    By default it returns arrays above 32 MB, which most feature maps are, to the kernel at once,
    and the kernel clears their pages again in each step. Without that, a step of SimCLR took 10 to
    21 % less CPU time and 29 % more memory.
    """
    if sys.platform == 'linux' and hasattr(ctypes.CDLL(None), 'gnu_get_libc_version'):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-4, 0)  # M_MMAP_MAX: no separate mappings for arrays
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: never return the rest


def _name_slurm_processes() -> None:
    """Set the variables that torch expects from what slurm says about a process."""
    if 'MASTER_ADDR' not in os.environ:
        nodes = subprocess.run(
            ['scontrol', 'show', 'hostname', os.environ['SLURM_NODELIST']],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        os.environ['MASTER_ADDR'] = nodes.split()[0]
    os.environ.setdefault('MASTER_PORT', '29500')
    os.environ['RANK'] = os.environ['SLURM_PROCID']
    os.environ['WORLD_SIZE'] = os.environ['SLURM_NTASKS']
    os.environ['LOCAL_RANK'] = os.environ.get('SLURM_LOCALID', '0')


@MODEL_WRAPPERS.register_module()
class CPUDistributedDataParallel(MMDistributedDataParallel):
    """DistributedDataParallel for processes on the CPU.

    SyncBatchNorm has no CPU kernel, so it is reverted to BatchNorm, which uses the statistics of
    each process's own part of the batch.

    Args:
        module (nn.Module): The model.
        device_ids (list[int], optional): The GPU that mmengine names; ignored.
        **kwargs: Arguments of ``MMDistributedDataParallel``.
    """

    def __init__(
        self, module: nn.Module, device_ids: list[int] | None = None, **kwargs: object
    ) -> None:
        count = sum(isinstance(layer, nn.SyncBatchNorm) for layer in module.modules())
        if count:
            print_log(
                f'No GPU: {count} SyncBatchNorm layers are reverted to BatchNorm, each process '
                'normalizes with the statistics of its own part of the batch',
                logger='current',
            )
            module = revert_sync_batchnorm(module)
        super().__init__(module, device_ids=None, **kwargs)


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Automatic mixed precision in bfloat16, whose range needs no loss scaling.

    Args:
        **kwargs: Arguments of ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Compute the forward pass in bfloat16 where torch considers it safe."""
        with super().optim_context(model), autocast('cpu', torch.bfloat16):
            yield


def disconnect() -> None:
    """Disconnect from the other processes at the end of a run; otherwise torch warns at exit."""
    if dist.is_initialized():
        dist.destroy_process_group()
