"""Pictures of pairs, plots, and the pages about views and runs."""

from .browse import browse_views
from .embedding import add_embedding
from .pairs import draw_pair, sample_pairs
from .report import add_pairs, write_report
from .runs import Run, read_run, read_scalars

__all__ = [
    'Run',
    'add_embedding',
    'add_pairs',
    'browse_views',
    'draw_pair',
    'read_run',
    'read_scalars',
    'sample_pairs',
    'write_report',
]
