"""Hooks that watch or guard a run."""

from .checkpoint import AtomicCheckpointHook
from .non_finite_loss import NonFiniteLossHook

__all__ = ['AtomicCheckpointHook', 'NonFiniteLossHook']
