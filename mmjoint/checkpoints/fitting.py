"""Checks whether weights fit a model: names, shapes, types and values."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .reading import CheckpointError

COUNTER = 'num_batches_tracked'
_VARIANCE = 'running_var'
# What torch.compile puts before the names of the module that it wraps.
COMPILED = '_orig_mod.'


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


def state_dict_of(checkpoint: Mapping, path: object) -> dict:
    """Return the weights of mmengine's checkpoints and of plain state dicts.

    Args:
        checkpoint (Mapping): The content of the file.
        path (object): The file, for the message.

    Returns:
        dict: Names to values, without what torch.compile puts into names.

    Raises:
        CheckpointError: If there is no such mapping, or as of ``without_wrappers``.
    """
    weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, dict) or not all(isinstance(key, str) for key in weights):
        raise CheckpointError(f'{path}: its state_dict is not a mapping of names to tensors')
    return without_wrappers(weights, path)


def without_wrappers(weights: dict[str, object], path: object) -> dict[str, object]:
    """Return weights without what torch.compile puts into names.

    Args:
        weights (dict[str, object]): Names to values.
        path (object): The file, for the message.

    Returns:
        dict[str, object]: The same if there is nothing to take off.

    Raises:
        CheckpointError: If a weight is there with and without it.
    """
    if not any(COMPILED in name for name in weights):
        return weights
    named = OrderedDict((name.replace(COMPILED, ''), value) for name, value in weights.items())
    if len(named) < len(weights):
        raise CheckpointError(f'{path}: has weights twice, compiled ({COMPILED}) and not')
    return named
