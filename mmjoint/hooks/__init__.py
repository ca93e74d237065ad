"""Hooks that watch or guard a run."""

from .checkpoint import AtomicCheckpointHook
from .contrastive_crop import ContrastiveCropHook
from .dino import DINOHook
from .fixed_lr import FixedLRHook
from .non_finite_loss import NonFiniteLossHook

__all__ = ['AtomicCheckpointHook', 'ContrastiveCropHook', 'DINOHook', 'FixedLRHook', 'NonFiniteLossHook']
