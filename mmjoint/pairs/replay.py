"""The views that a run trained on, drawn again."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..transforms.draws import Draw, tie_dataset
from .source import PairSource


def replay(source: PairSource, words: Sequence[str], seed: int) -> list[tuple[dict, tuple]]:
    """Draw views again that a run of a config trained on.

    Args:
        source (PairSource): Of the run's config, with its own photos.
        words (Sequence[str]): The draws: ``'EPOCH:INDEX'``, ``'EPOCH:INDEX:VISIT'`` or
            ``'EPOCH:FILE'``, numbers from 0; a file by its path or the end of it.
        seed (int): The run's.

    Returns:
        list[tuple[dict, tuple]]: For each draw the result dict of the photo ahead of the views,
        with the name of the draw in ``draw``, and the views and the records of what they drew.

    Raises:
        ValueError: There is no such draw, or its photo and all that could stand in for it are
            dropped by the pipeline.
    """
    dataset = source.build_trained()
    draws = [find_draw(word, dataset) for word in words]
    tie_dataset(dataset, seed)
    drawn = []
    for draw in draws:
        results = dataset[draw]
        images = results['img']
        if not all(isinstance(img, np.ndarray) for img in images):
            kind = type(images[0]).__name__
            raise ValueError(f'the views are {kind}, not the arrays that mm transforms give')
        records = results.get('view_params') or [[] for _ in images]  # a MultiView has none
        drawn.append(({**results['photo'], 'draw': draw.name}, (images, records)))
    return drawn


def find_draw(word: str, dataset: Any) -> Draw:
    """Read which draw is meant.

    Args:
        word (str): As in ``replay``.
        dataset (Any): The training set.

    Returns:
        Draw: An index of the data set with epoch and visit.

    Raises:
        ValueError: It is none, or names no image or several.
    """
    epoch, _, rest = word.partition(':')
    if not epoch.isdecimal() or not rest:
        raise ValueError(
            f'--replay {word}: expected EPOCH:INDEX or EPOCH:FILE, numbers from 0, such as 3:17'
        )
    if re.fullmatch(r'\d+(:\d+)?', rest):
        index, _, visit = rest.partition(':')
        if int(index) >= len(dataset):
            raise ValueError(
                f'--replay {word}: the data set has {len(dataset)} images, from index 0 to '
                f'{len(dataset) - 1}'
            )
        return Draw(int(index), int(epoch), int(visit or 0))
    paths = [str(dataset.get_data_info(i).get('img_path', '')) for i in range(len(dataset))]
    found = [i for i, path in enumerate(paths) if path == rest] or [
        i for i, path in enumerate(paths) if path.endswith(('/' + rest, '#' + rest))
    ]
    if len(found) != 1:
        several = ', '.join(f'{epoch}:{i} {paths[i]}' for i in found[:3])
        raise ValueError(
            f'--replay {word}: '
            + (f'{len(found)} images of this name: {several}' if found else 'no such image')
        )
    return Draw(found[0], int(epoch))
