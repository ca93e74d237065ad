"""Pictures of pairs and the report page of a run."""

from .browse import browse_views
from .pairs import draw_pair, sample_pairs
from .report import read_scalars, write_report

__all__ = ['browse_views', 'draw_pair', 'read_scalars', 'sample_pairs', 'write_report']
