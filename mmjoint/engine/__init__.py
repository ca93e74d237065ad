"""From a config to a Runner that fits this machine."""

from .runner import (
    add_arguments,
    build_runner,
    disconnect,
    find_last_checkpoint,
    fit_to_machine,
    guard_run,
    load_config,
    load_from_local,
)

__all__ = [
    'add_arguments',
    'build_runner',
    'disconnect',
    'find_last_checkpoint',
    'fit_to_machine',
    'guard_run',
    'load_config',
    'load_from_local',
]
