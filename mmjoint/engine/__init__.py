"""Builds a Runner from a config: options, machine, acceleration, work directory and resume."""

from .config import load_config, read_config
from .loading import use_safe_loader
from .machine import disconnect, fit_to_cpu, fit_to_machine
from .resume import find_last_checkpoint
from .runner import build_runner, guard_run
from .work_dir import enter_work_dir, save_config

__all__ = [
    'build_runner',
    'disconnect',
    'enter_work_dir',
    'find_last_checkpoint',
    'fit_to_cpu',
    'fit_to_machine',
    'guard_run',
    'load_config',
    'read_config',
    'save_config',
    'use_safe_loader',
]
