"""CPU time of views, measured in rounds in which all makers take turns."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
from rounds import summary, time_rounds

from .makers import build_pipeline, mmjoint_makers, mmpretrain_maker, raising
from .peers import missing_peers, peer_makers
from .recipes import RECIPES


def benchmark_views(
    files: Sequence[str],
    recipe: str,
    pipeline: list[dict],
    seconds: float = 60.0,
    photos_per_round: int = 20,
    seed: int = 0,
) -> dict:
    """Measure of how many photos one core makes the views per second, by mmjoint and by others.

    Args:
        files (Sequence[str]): Paths of photos.
        recipe (str): One of ``RECIPES``.
        pipeline (list[dict]): ``train_pipeline`` of mmjoint's config of that recipe.
        seconds (float): Duration of the measurement. Defaults to 60.
        photos_per_round (int): Photos per maker and round. Defaults to 20.
        seed (int): Seed of the order of the photos and of the makers in a round. Defaults to 0.

    Returns:
        dict: ``rounds``, a list of the pairs per second of each maker, where a pair is all views of
            a photo; over the rounds, as ``dict(median, quartiles)``, ``pairs_per_second`` and
            ``joint_times``, the speed of ``'mmjoint joint'`` divided by each maker's speed in the
            same round; ``about``, a description of each maker; ``missing``, the libraries that are
            not installed.

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

    The pipeline is run up to each of its steps; the time of a step is the difference from the step
    before in the same round. Groups (multi-crop) advance step by step together. The first step of
    the views also includes the layout of their channels.

    Args:
        files (Sequence[str]): Paths of photos.
        pipeline (list[dict]): A ``LoadImage``, a ``JointView``, a ``PackInputs``.
        seconds, photos_per_round, seed: As documented in ``benchmark_views``; 20 seconds by
            default.

    Returns:
        dict[str, dict]: Milliseconds per view by step, as ``dict(median, quartiles)``.
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
