"""Checks whether weights fit a model: names, shapes, types and values."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from .facts import contradiction
from .reading import CheckpointError, read_checkpoint

COUNTER = 'num_batches_tracked'
_VARIANCE = 'running_var'


def abridge(names: Sequence[str], limit: int = 3) -> str:
    """Return the first few of some names, separated by commas."""
    return ', '.join(names[:limit]) + (', ...' if len(names) > limit else '')


def describe_faults(
    found: Mapping[str, object], expected: Mapping[str, Tensor | Sequence[int]]
) -> str:
    """Describe which weights are missing, unexpected, wrongly shaped or of impossible values.

    Args:
        found (Mapping[str, object]): The weights of the file.
        expected (Mapping[str, Tensor | Sequence[int]]): Names and shapes of the weights that must
            be there, or the tensors that they replace, whose kind of number is then checked too.

    Returns:
        str: One line; empty if all fit.
    """
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    there = {key: value for key, value in expected.items() if key in found}
    faults = [(missing, 'missing'), (unexpected, 'unexpected')]
    return _listed([*faults, *_misfits(found, there)])


def describe_misfits(found: Mapping[str, object], expected: Mapping[str, Tensor]) -> str:
    """Do the same as ``describe_faults`` for the weights that are in both."""
    there = {key: value for key, value in expected.items() if key in found}
    return _listed(_misfits(found, there))


def describe_values(found: Mapping[str, object], expected: Mapping[str, Tensor]) -> str:
    """Describe which weights in both have values that no weight has, whatever their shape."""
    there = {key: value for key, value in expected.items() if key in found}
    return _listed(_misfits(found, there)[1:])


def _listed(faults: Sequence[tuple[list[str], str]]) -> str:
    return '; '.join(f'{len(names)} {fault} ({abridge(names)})' for names, fault in faults if names)


def _misfits(
    found: Mapping[str, object], expected: Mapping[str, Tensor | Sequence[int]]
) -> list[tuple[list[str], str]]:
    reshaped, strange, infinite, negative = [], [], [], []
    for key, wanted in expected.items():
        value = found[key]
        shape = tuple(wanted.shape if isinstance(wanted, Tensor) else wanted)
        if not isinstance(value, Tensor):
            strange.append(f'{key} {type(value).__name__}')
        elif tuple(value.shape) != shape:
            reshaped.append(f'{key} {tuple(value.shape)} instead of {shape}')
        elif not _is_weight(key, value, wanted):
            strange.append(f'{key} {str(value.dtype).removeprefix("torch.")}')
        elif not _is_finite(value, wanted):
            infinite.append(key)
        elif key.endswith((_VARIANCE, COUNTER)) and (value < 0).any():
            negative.append(key)
    return [
        (reshaped, 'of another shape'),
        (strange, 'of no type of weights'),
        (infinite, 'not finite: NaN or infinity'),
        (negative, 'negative'),
    ]


def _is_weight(key: str, value: Tensor, wanted: Tensor | Sequence[int]) -> bool:
    """Tell whether a tensor's numbers are of the kind that its place requires."""
    if value.layout != torch.strided or value.is_quantized or value.device.type == 'meta':
        return False
    if key.endswith(COUNTER) and value.is_floating_point():
        return bool((value == value.round()).all())  # averages of networks have such counters
    if isinstance(wanted, Tensor):
        if wanted.is_floating_point():
            return value.is_floating_point()
        return value.dtype == wanted.dtype or not (
            value.is_floating_point() or value.is_complex() or value.dtype == torch.bool
        )
    if key.endswith(COUNTER):
        return not value.is_complex() and value.dtype != torch.bool
    return value.is_floating_point()


def _is_finite(value: Tensor, wanted: Tensor | Sequence[int]) -> bool:
    if not value.is_floating_point() or torch.isfinite(value.float().sum()):
        return True
    finite = torch.isfinite(value.float())  # a float64 may exceed the range of float32
    if isinstance(wanted, Tensor) and wanted.is_floating_point():
        finite |= value == wanted.to(value)  # a mask of infinities
    return bool(finite.all())


def load_backbone(model: nn.Module, path: str | Path, prefix: str = 'backbone.') -> None:
    """Load a backbone's weights from a checkpoint; every key must fit, in both directions.

    A file whose keys do not match would otherwise leave the model at its random initialization with
    at most a line in the log. Keys that do not start with ``prefix`` (neck, head, queue) do not
    belong to the backbone and are ignored. The model is unchanged if an error is raised.

    Args:
        model (nn.Module): The backbone, as built from a config's ``model.backbone``.
        path (str | Path): An mmengine checkpoint (weights under ``state_dict``) or a plain state
            dict.
        prefix (str): The prefix of the backbone's keys in the file, with its dot; ``''`` for a file
            that contains only the backbone. Defaults to ``'backbone.'``.

    Raises:
        CheckpointError: If the file cannot be read, has no key with the prefix, has missing,
            unexpected or differently shaped weights or impossible values, which the message names,
            or says that it contains another backbone.
    """
    checkpoint = read_checkpoint(path)
    weights = state_dict_of(checkpoint, path)
    found = {
        key[len(prefix) :]: value
        for key, value in weights.items()
        if key.startswith(prefix) and (prefix or isinstance(value, Tensor))
    }
    if not found:
        raise CheckpointError(
            f'{path}: no weight starts with {prefix!r}; the file has {abridge(list(weights))}'
        )
    faults = describe_faults(found, model.state_dict()) or contradiction(model, checkpoint)
    if faults:
        raise CheckpointError(
            f'{path}: the weights under {prefix!r} do not fit {type(model).__name__}: {faults}'
        )
    model.load_state_dict(found)


def state_dict_of(checkpoint: Mapping, path: object) -> dict:
    """Return the weights of mmengine's checkpoints and of plain state dicts.

    Args:
        checkpoint (Mapping): The content of the file.
        path (object): The file, for the message.

    Returns:
        dict: Maps names to values.

    Raises:
        CheckpointError: If there is no such mapping.
    """
    weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, dict) or not all(isinstance(key, str) for key in weights):
        raise CheckpointError(f'{path}: its state_dict is not a mapping of names to tensors')
    return weights
