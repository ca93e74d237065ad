"""The figures of the paper that are about pairs alone, and need no model."""

from pathlib import Path

import numpy as np

from ..transforms import JointCrop
from ..transforms.base import CenterDistance
from ..transforms.draws import seed_draws
from ..visualization.plots import write_plot

#: The betas of figure 7, from easy to hard.
BETAS: tuple[float | None, ...] = (None, 2, 1, 0, -1, -2)
BINS = np.linspace(0, 1, 21)


def center_distances(beta: float | None, num_pairs: int, seed: int) -> np.ndarray:
    """Draw pairs of JointCrop, and measure the distance of their centers.

    The image is 224 x 224 and the area in [0.2, 1].

    Args:
        beta (float, optional): JC's beta, or None for independent crops.
        num_pairs (int): The number of pairs.
        seed (int): Seed of the draws.

    Returns:
        np.ndarray: float64 of shape (num_pairs,), in sides of the image.
    """
    crop, distance = JointCrop(crop_ratio_range=(0.2, 1.0), beta=beta), CenterDistance()
    results = dict(img=np.empty((224, 224, 3), np.uint8))
    seed_draws(seed)
    pairs = (crop.sample(results) for _ in range(num_pairs))
    return np.array([distance.compare(first, second, done=True) for first, second in pairs])


def figure_7(num_pairs: int = 100_000, repeats: int = 3) -> list[dict]:
    """Measure the distance of the centers by beta, as figure 7 (appendix E) does.

    Args:
        num_pairs (int): Pairs of each repetition. Defaults to 100,000.
        repeats (int): Number of repetitions, from seed 0 on. Defaults to 3.

    Returns:
        list[dict]: For each of ``BETAS`` its ``beta``, the ``mean`` of the distance and the
        ``density`` in each bin of ``BINS``, both with the standard deviation over the repetitions
        (``mean_error``, ``density_error``).
    """
    rows = []
    for beta in BETAS:
        runs = [center_distances(beta, num_pairs, seed) for seed in range(repeats)]
        means = [run.mean() for run in runs]
        densities = [np.histogram(run, BINS)[0] / len(run) / np.diff(BINS) for run in runs]
        rows.append(
            dict(
                beta=beta,
                mean=float(np.mean(means)),
                mean_error=float(np.std(means, ddof=1)),
                density=np.mean(densities, axis=0),
                density_error=np.std(densities, axis=0, ddof=1),
            )
        )
    return rows


def format_figure(rows: list[dict]) -> str:
    """Format the rows of ``figure_7`` as a table."""
    lines = ['beta   mean distance        density at 0.1, 0.3, 0.5']
    places = np.searchsorted(BINS, [0.1, 0.3, 0.5], 'right') - 1
    for row in rows:
        density = '  '.join(
            f'{row["density"][i]:.3f} ± {row["density_error"][i]:.3f}' for i in places
        )
        lines.append(f'{row["beta"]!s:<6} {row["mean"]:.4f} ± {row["mean_error"]:.4f}   {density}')
    return '\n'.join(lines)


def plot_figure(rows: list[dict], path: Path) -> None:
    """Draw the densities of ``figure_7`` with their errors into a file (.svg, .png or .pdf)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout='constrained')
    axes = figure.subplots()
    centers = (BINS[:-1] + BINS[1:]) / 2
    for row in rows:
        label = f'beta {row["beta"]}'
        axes.errorbar(centers, row['density'], row['density_error'], label=label, capsize=2)
    axes.set_xlabel('distance of the centers, in sides of the image')
    axes.set_ylabel('density')
    axes.legend()
    write_plot(path, figure)
