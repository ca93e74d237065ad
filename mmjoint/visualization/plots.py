"""Writes matplotlib's figures."""

import io
from pathlib import Path

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
    buffer = io.BytesIO()
    figure.savefig(buffer, format=Path(path).suffix[1:], dpi=150)
    write_output(path, buffer.getvalue())
