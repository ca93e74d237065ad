"""CPU time of views, by rounds in which all that is compared takes its turn."""

import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
import torch

from .makers import build_pipeline, mmjoint_makers, mmpretrain_maker, raising
from .peers import missing_peers, peer_makers
from .recipes import RECIPES

LEAST_ROUNDS = 3


def benchmark_views(
    files: Sequence[str],
    recipe: str,
    pipeline: list[dict],
    seconds: float = 60.0,
    photos_per_round: int = 20,
    seed: int = 0,
) -> dict:
    """Measure how many photos' views one core makes a second, by mmjoint and by others.

    Args:
        files (Sequence[str]): Paths of photos.
        recipe (str): One of ``RECIPES``.
        pipeline (list[dict]): ``train_pipeline`` of mmjoint's config of that recipe.
        seconds (float): How long to measure. Defaults to 60.
        photos_per_round (int): Photos that each maker gets in a round. Defaults to 20.
        seed (int): Of the order of the photos and of the makers in a round. Defaults to 0.

    Returns:
        dict: ``rounds``, a list of each maker's pairs a second, a pair being all views of a photo;
        over them, as ``dict(median, quartiles)``, ``pairs_per_second`` and ``joint_times``, the
        speed of ``'mmjoint joint'`` in multiples of each maker's in the same round; ``about``, what
        each maker is; ``missing``, the libraries that are not installed.

    Raises:
        ValueError: There are no files, or no such recipe.
        OSError: A photo cannot be read.
    """
    if recipe not in RECIPES:
        raise ValueError(f'recipe must be one of {", ".join(RECIPES)}, got {recipe!r}')
    views = RECIPES[recipe]
    makers = mmjoint_makers(pipeline) | {'mmpretrain': mmpretrain_maker(views)} | peer_makers(views)
    functions = {name: maker.make for name, maker in makers.items()}
    rounds = [
        {name: 1000 / time_ for name, time_ in times.items()}
        for times in time_rounds(functions, files, seconds, photos_per_round, seed)
    ]
    return dict(
        rounds=rounds,
        pairs_per_second={name: summary([r[name] for r in rounds]) for name in makers},
        joint_times={
            name: summary([r['mmjoint joint'] / r[name] for r in rounds]) for name in makers
        },
        about={name: maker.about for name, maker in makers.items()},
        missing=missing_peers(),
    )


def profile_views(
    files: Sequence[str],
    pipeline: list[dict],
    seconds: float = 20.0,
    photos_per_round: int = 20,
    seed: int = 0,
) -> dict[str, dict]:
    """Measure what each step of a pipeline of mmjoint adds to the CPU time of a view.

    The pipeline is run up to each of its steps; a step's time is the difference to the step before
    in the same round. Groups (multi-crop) go step by step side by side. The first step in the views
    also bears laying out their channels.

    Args:
        files (Sequence[str]): Paths of photos.
        pipeline (list[dict]): A ``LoadImage``, a ``JointView``, a ``PackInputs``.
        seconds, photos_per_round, seed: As of ``benchmark_views``; 20 seconds by default.

    Returns:
        dict[str, dict]: Milliseconds a view by step, ``dict(median, quartiles)``.
    """
    load, view, pack = raising(pipeline)
    num_views = np.sum(view['num_views'])
    groups = view['transforms']
    ends = {'LoadImage': [load]}
    for i, step in enumerate(max(groups, key=len)):
        part = copy.deepcopy(view)
        part['transforms'] = [group[: i + 1] for group in groups]
        ends[step['type']] = [load, part]
    ends['PackInputs'] = [load, view, pack]
    names = list(ends)
    functions = {name: _runner(steps) for name, steps in ends.items()}
    rounds = time_rounds(functions, files, seconds, photos_per_round, seed)
    return {
        name: summary(
            [
                float(times[name] - (times[before] if before else 0)) / int(num_views)
                for times in rounds
            ]
        )
        for before, name in zip([None, *names], names, strict=False)
    }


def _runner(steps: list[dict]) -> Callable[[str], object]:
    pipeline = build_pipeline(steps)
    return lambda file: pipeline(dict(img_path=file))


def time_rounds(
    functions: Mapping[str, Callable[[str], object]],
    files: Sequence[str],
    seconds: float,
    photos_per_round: int,
    seed: int = 0,
) -> list[dict[str, float]]:
    """Time functions of a photo in rounds.

    In one round all go over the same few photos, in an order drawn anew, so that a machine that
    drifts harms all alike; ratios are to be taken within a round. Time is the process's CPU time,
    on one thread, so that other work on the machine counts little. The photos are in the file cache
    and everything has run once before the first round.

    Args:
        functions (Mapping): What to time, by name. The first reads the photos into the file cache
            before each round.
        files (Sequence[str]): Paths of photos, taken in a random order, in turn.
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

    def run(name: str, photos: Sequence[str]) -> float:
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
