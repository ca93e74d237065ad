"""Writes matplotlib's figures."""

import io
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from ..utils.files import write_output


def write_plot(path: str | Path, figure: Figure) -> None:
    """Write a figure to a file, whole or not at all.

    Args:
        path (str | Path): The file; its ending (.png, .svg, .pdf) is the format.
        figure (Figure): The figure.

    Raises:
        OSError: As documented in ``mmjoint.utils.files.whole_file``.
        ValueError: The ending is not a format that matplotlib writes.
    """
    buffer, kind = io.BytesIO(), Path(path).suffix[1:]
    # Without a date and with names that follow from the content, the same figure is the same file.
    metadata = {'svg': {'Date': None}, 'pdf': {'CreationDate': None}}.get(kind)
    with matplotlib.rc_context({'svg.hashsalt': 'mmjoint'}):
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    write_output(path, buffer.getvalue())
