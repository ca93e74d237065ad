"""Figure 7: the distance of the centers by beta; its mean against direct computation."""

import numpy as np
import pytest

from mmjoint.paper import figures


def test_figure_7(tmp_path):
    rows = figures.figure_7(num_pairs=1_000, repeats=2)
    assert [row['beta'] for row in rows] == [None, 2, 1, 0, -1, -2]
    means = {row['beta']: row['mean'] for row in rows}
    assert means[2] < means[0] < means[-2]
    for row in rows:
        assert np.sum(row['density']) * 0.05 == pytest.approx(1)
    # Independent crops by plain NumPy: area, aspect ratio and offsets by rejection.
    rng = np.random.default_rng(0)
    area, aspect = rng.uniform(0.2, 1, 200_000), np.exp(rng.uniform(-1, 1, 200_000) * np.log(4 / 3))
    w, h = np.sqrt(area * aspect), np.sqrt(area / aspect)
    fit = (w <= 1) & (h <= 1)
    centers = [side / 2 + rng.uniform(0, 1 - side) for side in (w[fit], h[fit])]
    half = fit.sum() // 2
    gaps = [center[:half] - center[half : 2 * half] for center in centers]
    assert means[None] == pytest.approx(np.hypot(*gaps).mean(), abs=0.012)
    figures.plot_figure_7(rows, tmp_path / '7.svg')
    assert '<svg' in (tmp_path / '7.svg').read_text()
    assert figures.format_figure_7(rows).count('\n') == 6
