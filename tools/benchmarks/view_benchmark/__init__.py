"""Speed of making views, from a photo's file to tensors, by mmjoint and by other libraries."""

from rounds import one_thread, time_rounds

from .loader import benchmark_loader
from .makers import Maker, joint_pipeline, mmjoint_makers, mmpretrain_maker
from .measure import benchmark_views, profile_views
from .peers import missing_peers, peer_makers
from .plot import plot_benchmark
from .recipes import CONFIGS, RECIPES, View

__all__ = [
    'CONFIGS',
    'RECIPES',
    'Maker',
    'View',
    'benchmark_loader',
    'benchmark_views',
    'joint_pipeline',
    'missing_peers',
    'mmjoint_makers',
    'mmpretrain_maker',
    'one_thread',
    'peer_makers',
    'plot_benchmark',
    'profile_views',
    'time_rounds',
]
