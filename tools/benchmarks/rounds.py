"""Timing by rounds in which all that is compared takes its turn, and what rounds come to."""

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

    In one round all go over the same few photos, in an order drawn anew, so that a machine that
    drifts harms all alike; ratios are to be taken within a round. Time is the process's CPU time,
    on one thread, so that other work on the machine counts little. The photos are in the file cache
    and everything has run once before the first round. Runs OpenCV and torch on one thread from
    here on.

    Args:
        functions (Mapping): What to time, by name. The first reads the photos into the file cache
            before each round.
        files (Sequence): Paths of photos, or their bytes, taken in a random order, in turn.
        seconds (float): How long, by the clock. At least three rounds are made.
        photos_per_round (int): Photos a round.
        seed (int): Of both orders. Defaults to 0.

    Returns:
        list[dict[str, float]]: Milliseconds a photo by name, for each round.

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
        functions[name](photos[-1])  # untimed: code and memory of the one before leave the caches
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
            for name in functions:  # what is set up or compiled at the first call
                run(name, photos)
            start = time.perf_counter()
        order = rng.permutation(list(functions))
        times = {str(name): run(str(name), photos) for name in order}
        rounds.append({name: times[name] for name in functions})
    return rounds


def one_thread() -> None:
    """Keep OpenCV and torch to one thread, here and in the peers; compiled loops have one."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def summary(values: Sequence[float]) -> dict:
    """Return the ``median`` and the ``quartiles`` (first and third) of at least two values."""
    low, _, high = statistics.quantiles(values, n=4)
    return dict(median=statistics.median(values), quartiles=[low, high])
