"""The figures of the paper: 5, from runs of a table, and 7, of pairs alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..transforms import JointCrop
from ..transforms.base import CenterDistance
from ..transforms.draws import seed_draws
from ..visualization import read_scalars
from ..visualization.plots import write_plot
from .rows import Row

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


def figure_5(work_dirs: Path, rows: Sequence[Row]) -> list[dict]:
    """Read the training losses of a method by beta, as figure 5 shows them for SimSiam.

    Args:
        work_dirs (Path): Holds ``CONFIG/seedN/run`` of reduced runs, or ``CONFIG`` of full ones.
        rows (Sequence[Row]): The rows of one method, from table 5.

    Returns:
        list[dict]: For each row that has runs its ``variant``, the ``steps`` (iterations) that all
        its runs logged, the ``mean`` of the loss over the runs, the standard deviation ``error``
        (0 for one run), and the number of ``runs``.

    Raises:
        FileNotFoundError: No row has a run.
    """
    found = []
    for row in rows:
        curves = []
        for folder in [*sorted((work_dirs / row.folder).glob('seed*/run')), work_dirs / row.folder]:
            if any(folder.glob('*/vis_data/scalars.json')):
                steps, losses = read_scalars(folder)
                curves.append(dict(zip(steps, losses, strict=True)))
        if curves:
            steps = sorted(set.intersection(*map(set, curves)))
            values = np.array([[curve[step] for step in steps] for curve in curves])
            error = values.std(0, ddof=1) if len(curves) > 1 else np.zeros(len(steps))
            found.append(
                dict(
                    variant=row.variant,
                    steps=steps,
                    mean=values.mean(0),
                    error=error,
                    runs=len(curves),
                )
            )
    if not found:
        raise FileNotFoundError(
            f'{work_dirs}: holds no run of {rows[0].method} in table 5; --run makes them'
        )
    return found


def format_figure_5(rows: list[dict]) -> str:
    """Format the curves of ``figure_5`` as a table: the loss after a tenth, a half, and all."""
    lines = [f'{"":<12}{"10 %":>17}{"50 %":>17}{"100 %":>17}  runs']
    for row in rows:
        last = len(row['steps']) - 1
        values = ''.join(
            f'{row["mean"][i]:8.4f} ± {row["error"][i]:.4f}' for i in (last // 10, last // 2, last)
        )
        lines.append(f'{row["variant"]:<12}{values}  {row["runs"]}')
    return '\n'.join(lines)


def plot_figure_5(rows: list[dict], path: Path) -> None:
    """Draw the curves of ``figure_5`` with their deviations into a file (.svg, .png or .pdf)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout='constrained')
    axes = figure.subplots()
    for row in rows:
        axes.plot(row['steps'], row['mean'], label=row['variant'], linewidth=1)
        low, high = row['mean'] - row['error'], row['mean'] + row['error']
        axes.fill_between(row['steps'], low, high, alpha=0.2, linewidth=0)
    axes.set_xlabel('iteration')
    axes.set_ylabel('training loss')
    axes.legend()
    write_plot(path, figure)


def format_figure_7(rows: list[dict]) -> str:
    """Format the rows of ``figure_7`` as a table."""
    lines = ['beta   mean distance        density at 0.1, 0.3, 0.5']
    places = np.searchsorted(BINS, [0.1, 0.3, 0.5], 'right') - 1
    for row in rows:
        density = '  '.join(
            f'{row["density"][i]:.3f} ± {row["density_error"][i]:.3f}' for i in places
        )
        lines.append(f'{row["beta"]!s:<6} {row["mean"]:.4f} ± {row["mean_error"]:.4f}   {density}')
    return '\n'.join(lines)


def plot_figure_7(rows: list[dict], path: Path) -> None:
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
