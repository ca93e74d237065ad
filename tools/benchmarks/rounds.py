"""Timing by rounds in which all functions take turns, and summaries of the rounds."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import cv2
import numpy as np
import torch

LEAST_ROUNDS = 3
Photo = TypeVar('Photo', str, bytes)


def time_rounds(
    functions: Mapping[str, Callable[[Photo], object]],
    files: Sequence[Photo],
    seconds: float,
    photos_per_round: int,
    seed: int = 0,
) -> list[dict[str, float]]:
    """Time functions of a photo in rounds.

    In one round all functions process the same few photos, in a newly drawn order, so that a drift
    of the machine's speed affects all alike; compute ratios within a round. Time is the process's
    CPU time, on one thread, so that other work on the machine counts little. The photos are in the
    file cache and everything has run once before the first round. From here on OpenCV and torch run
    on one thread.

    Args:
        functions (Mapping): Functions to time, by name. The first one reads the photos into the
            file cache before each round.
        files (Sequence): Paths of photos, or their bytes, taken in a random order, in turn.
        seconds (float): Duration of the measurement. At least three rounds are made.
        photos_per_round (int): Photos per round.
        seed (int): Seed of both orders. Defaults to 0.

    Returns:
        list[dict[str, float]]: For each round, milliseconds per photo by name.

    Raises:
        ValueError: There are no files.
    """
    if not files:
        raise ValueError('a benchmark needs at least one photo, got none')
    one_thread()
    rng = np.random.default_rng(seed)
    files = [files[i] for i in rng.permutation(len(files))]
    read = next(iter(functions.values()))

    def run(name: str, photos: Sequence[Photo]) -> float:
        functions[name](photos[-1])  # untimed: evicts the previous function from the caches
        start = time.process_time()
        for photo in photos:
            functions[name](photo)
        return 1000 * (time.process_time() - start) / len(photos)

    rounds: list[dict[str, float]] = []
    start = None
    while len(rounds) < LEAST_ROUNDS or time.perf_counter() - start < seconds:
        first = photos_per_round * len(rounds)
        photos = [files[i % len(files)] for i in range(first, first + photos_per_round)]
        for photo in photos:
            read(photo)
        if start is None:
            for name in functions:  # set-up and compilation happen at the first call
                run(name, photos)
            start = time.perf_counter()
        order = rng.permutation(list(functions))
        times = {str(name): run(str(name), photos) for name in order}
        rounds.append({name: times[name] for name in functions})
    return rounds


def one_thread() -> None:
    """Limit OpenCV and torch to one thread, also in the peers; compiled loops have one thread."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def summary(values: Sequence[float]) -> dict:
    """Return the ``median`` and the ``quartiles`` (first and third) of at least two values."""
    low, _, high = statistics.quantiles(values, n=4)
    return dict(median=statistics.median(values), quartiles=[low, high])
