"""Hooks that watch, guard or steer a run."""

from .accumulation import AccumulationHook
from .beta import BetaHook
from .channels_last import ChannelsLastHook
from .checkpoint import AtomicCheckpointHook
from .collapse import CollapseHook
from .compile import CompileHook
from .contrastive_crop import ContrastiveCropHook
from .dino import DINOHook
from .draws import DrawsHook
from .fixed_lr import FixedLRHook
from .knn import KNNHook
from .non_finite_loss import NonFiniteLossHook
from .pair_stats import PairStatsHook
from .swav import CheckpointedSwAVHook

__all__ = [
    'AccumulationHook',
    'AtomicCheckpointHook',
    'BetaHook',
    'ChannelsLastHook',
    'CheckpointedSwAVHook',
    'CollapseHook',
    'CompileHook',
    'ContrastiveCropHook',
    'DINOHook',
    'DrawsHook',
    'FixedLRHook',
    'KNNHook',
    'NonFiniteLossHook',
    'PairStatsHook',
]
