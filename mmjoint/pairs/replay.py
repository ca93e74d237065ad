"""The views that a run trained on, drawn again."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from ..engine.signatures import type_name
from ..transforms.draws import Draw
from .source import PairSource

#: The file in a run's work directory with the beta of each epoch, where ``BetaHook`` steers it.
BETAS_FILE = 'betas.json'


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
        ValueError: There is no such draw, its photo and all that could stand in for it are dropped
            by the pipeline, or ``BetaHook`` steered the run and the beta of the epoch is not known.
        OSError: The file with the betas cannot be read.
    """
    names, betas = read_betas(source.cfg)
    dataset = source.build_trained(seed, names)
    draws = [find_draw(word, dataset) for word in words]
    if names:
        for word, draw in zip(words, draws, strict=True):
            if draw.epoch >= len(betas):
                raise ValueError(
                    f'--replay {word}: {BETAS_FILE} has the betas of {len(betas)} epochs, from 0 '
                    f'to {len(betas) - 1}'
                )
            draw.beta = betas[draw.epoch]
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


def read_betas(cfg: Config) -> tuple[list[str], list[float]]:
    """Read the betas that a run's ``BetaHook`` chose.

    Args:
        cfg (Config): The config that the run saved in its work directory.

    Returns:
        tuple[list[str], list[float]]: The names of what was steered, and the beta of each epoch;
        both empty if the config has no ``BetaHook``.

    Raises:
        ValueError: There is no such file in the folder of the config or in its ``work_dir``, or it
            does not have that form.
        OSError: It cannot be read.
    """
    if not any(type_name(hook) == 'BetaHook' for hook in cfg.get('custom_hooks') or ()):
        return [], []
    # The config that a run saves is in its work directory, that with its logs two folders below.
    place = Path(cfg.filename or '').resolve()
    folders = [place.parent, *place.parents[2:3], *filter(None, [cfg.get('work_dir')])]
    path = next((p for p in (Path(f, BETAS_FILE) for f in folders) if p.is_file()), None)
    if path is None:
        raise ValueError(
            f'--replay: BetaHook chose the betas of the run, and its {BETAS_FILE} is not in '
            f'{folders[0]}: give the config that the run saved in its work directory'
        )
    try:
        facts = json.loads(path.read_text())
        names, betas = [str(name) for name in facts['names']], [float(b) for b in facts['betas']]
        if not names or not np.isfinite(betas).all():
            raise ValueError('no names, or a beta that is not finite')
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path}: not the betas of a run ({error!r})') from error
    return names, betas


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
