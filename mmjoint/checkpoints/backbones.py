"""The backbone of an mm config out of a checkpoint: which of its networks, all weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from .facts import contradiction
from .fitting import abridge, describe_faults, state_dict_of, without_wrappers
from .key_maps import AVERAGE, SOURCES
from .reading import CheckpointError, read_checkpoint

_MM = ('mm with EMAHook', 'mm', 'mmselfsup 0.x')


class Place(NamedTuple):
    """Where a network lies in a file: its weights, and what their names start with."""

    prefix: str
    weights: Mapping[str, object]
    container: str  # '' for the weights themselves

    def __str__(self) -> str:
        return f'{self.prefix!r}' + f' of {self.container!r}' * bool(self.container)


def load_backbone(
    model: nn.Module, path: str | Path, prefix: str = 'backbone.', which: str = 'online'
) -> None:
    """Load a backbone's weights out of a checkpoint; every key must fit, both ways.

    A file whose keys do not match would otherwise leave the model at its random initialization
    with a log line at most. Keys that do not start with ``prefix`` (neck, head, queue) are not
    the backbone's and are left aside. The model is unchanged if an error is raised.

    Args:
        model (nn.Module): The backbone, as built from a config's ``model.backbone``.
        path (str | Path): An mmengine checkpoint (weights under ``state_dict``) or a plain state
            dict.
        prefix (str): What the backbone's keys start with in the file, with its dot; ``''`` for a
            file that holds the backbone alone. Defaults to ``'backbone.'``.
        which (str): As of :func:`find_places`. Defaults to ``'online'``.

    Raises:
        CheckpointError: If the file cannot be read, has no such network or no key with the prefix,
            has missing, unexpected or differently shaped weights or values that no weight has,
            which the message names, or says that it is of another backbone.
    """
    checkpoint = read_checkpoint(path)
    places = find_places(checkpoint, path, prefix)
    if which not in places:
        there = ', '.join(f'{name} under {place}' for name, place in places.items())
        raise CheckpointError(f'{path}: has no {which} backbone; it has {there}')
    place = places[which]
    start = place.prefix
    found = {
        key[len(start) :]: value
        for key, value in place.weights.items()
        if key.startswith(start) and (start or isinstance(value, Tensor))
    }
    if not found:
        raise CheckpointError(
            f'{path}: no weight starts with {place}; the file has {abridge(list(place.weights))}'
        )
    faults = describe_faults(found, model.state_dict()) or contradiction(model, checkpoint)
    if faults:
        raise CheckpointError(
            f'{path}: the weights under {place} do not fit {type(model).__name__}: {faults}'
        )
    model.load_state_dict(found)


def find_places(checkpoint: Mapping, path: object, prefix: str = 'backbone.') -> dict[str, Place]:
    """Find the networks of a part of a model in a checkpoint of mm's.

    Args:
        checkpoint (Mapping): As read.
        path (object): The file, for messages.
        prefix (str): What the part's keys start with in the model. Defaults to ``'backbone.'``.

    Returns:
        dict[str, Place]: ``'online'``, the network trained by gradients, and ``'momentum'`` if
        there is one: its moving average, of the method (MoCo, BYOL, DINO, ...) or of ``EMAHook``,
        which puts the average in the place of the weights that it is of.

    Raises:
        CheckpointError: If the file has no weights.
    """
    weights = state_dict_of(checkpoint, path)
    average = checkpoint.get(AVERAGE)
    if not isinstance(average, dict):
        places = {'online': Place(prefix, weights, '')}
    else:
        average = without_wrappers(average, path)
        places = {'online': Place(f'module.{prefix}', average, AVERAGE)}
    if prefix != 'backbone.':
        if isinstance(average, dict):
            places['momentum'] = Place(prefix, weights, '')
        return places
    for source in SOURCES:
        if source.which != 'momentum' or source.format not in _MM:
            continue
        container = weights
        if source.container or source.beside:
            if not isinstance(average, dict):
                continue
            container = average if source.container else weights
        if any(str(key).startswith(source.prefix) for key in container):
            places['momentum'] = Place(source.prefix, container, source.container)
            break
    return places
