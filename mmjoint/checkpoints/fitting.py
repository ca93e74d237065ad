"""Whether weights fit a model: their names, shapes and types, and values that weights can have."""

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
    """Say which weights are missing, unexpected, wrongly shaped or of values that cannot be.

    Args:
        found (Mapping[str, object]): The weights there are.
        expected (Mapping[str, Tensor | Sequence[int]]): Name and shape of those that must be there,
            or the tensors that they are to replace, whose kind of number then counts too.

    Returns:
        str: One line; empty if all fit.
    """
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    there = {key: value for key, value in expected.items() if key in found}
    faults = [(missing, 'missing'), (unexpected, 'unexpected')]
    return _listed([*faults, *_misfits(found, there)])


def describe_misfits(found: Mapping[str, object], expected: Mapping[str, Tensor]) -> str:
    """Say the same as ``describe_faults`` of the weights that are in both alone."""
    there = {key: value for key, value in expected.items() if key in found}
    return _listed(_misfits(found, there))


def describe_values(found: Mapping[str, object], expected: Mapping[str, Tensor]) -> str:
    """Say which weights in both are of values that no weight has, whatever their shape."""
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
    """Tell whether a tensor's numbers are of the kind that its place takes."""
    if value.layout != torch.strided or value.is_quantized or value.device.type == 'meta':
        return False
    if key.endswith(COUNTER) and value.is_floating_point():
        return bool((value == value.round()).all())  # an average of networks has such
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
    finite = torch.isfinite(value.float())  # float64 may be beyond float32
    if isinstance(wanted, Tensor) and wanted.is_floating_point():
        finite |= value == wanted.to(value)  # a mask of infinities
    return bool(finite.all())


def load_backbone(model: nn.Module, path: str | Path, prefix: str = 'backbone.') -> None:
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

    Raises:
        CheckpointError: If the file cannot be read, has no key with the prefix, has missing,
            unexpected or differently shaped weights or values that no weight has, which the message
            names, or says that it is of another backbone.
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
    """Return the weights of mmengine's checkpoints and of plain ones.

    Args:
        checkpoint (Mapping): As read.
        path (object): The file, for the message.

    Returns:
        dict: Names to values.

    Raises:
        CheckpointError: If there is no such mapping.
    """
    weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, dict) or not all(isinstance(key, str) for key in weights):
        raise CheckpointError(f'{path}: its state_dict is no mapping of names to tensors')
    return weights
