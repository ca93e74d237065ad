"""Reading checkpoints and loading backbones from them, strictly."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or does not fit the model."""


class _History:
    """Stand in for mmengine's HistoryBuffer, which then need not be installed to read a file."""


def _no_attribute(owner: object, name: str) -> None:
    """Stand in for ``getattr``, by which a pickled HistoryBuffer refers to its own methods.

    The real one would hand any attribute of any class to the file.
    """


def _safe_globals() -> list:
    """Return what an mmengine checkpoint holds besides weights: scalars and their histories."""
    # `numpy._core` is numpy 2's name and `numpy.core` numpy 1's; files of either are read by both.
    multiarray = getattr(np, '_core', None) or np.core
    functions = (multiarray.multiarray._reconstruct, multiarray.multiarray.scalar)
    dtypes = {type(np.dtype(code)) for code in np.typecodes['All'] if code != 'O'}
    return [
        (_History, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (_no_attribute, 'builtins.getattr'),
        np.ndarray,
        np.dtype,
        *dtypes,
        *(
            (function, f'{module}.multiarray.{function.__name__}')
            for function in functions
            for module in ('numpy.core', 'numpy._core')
        ),
    ]


def read_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint to the CPU without running any code that the file may carry.

    Unlike mmengine's loader it never falls back to an unrestricted unpickling.

    Args:
        path (str | Path): A file written by ``torch.save``: an mmengine checkpoint or a plain
            state dict.

    Returns:
        dict: The content of the file; mmengine's log histories in it are for no use but to be
        skipped.

    Raises:
        CheckpointError: If the file is missing, damaged, no dict, or holds objects other than
            weights, containers, NumPy scalars and arrays and mmengine's HistoryBuffer.
    """
    if not Path(path).is_file():
        raise CheckpointError(f'{path}: no such checkpoint file')
    try:
        with torch.serialization.safe_globals(_safe_globals()):
            checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # torch raises a dozen types here, by the kind of damage
        foreign = re.search(r'GLOBAL ([\w.]+)', str(error))
        if foreign:
            raise CheckpointError(
                f'{path}: holds {foreign[1]}, which is neither a weight nor part of an mmengine '
                'checkpoint; save the state dict alone, from the program that wrote the file'
            ) from error
        reason = (str(error).splitlines() or [''])[0]
        raise CheckpointError(
            f'{path}: not a readable PyTorch checkpoint ({type(error).__name__}: {reason})'
        ) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(
            f'{path}: holds a {type(checkpoint).__name__}; expected a checkpoint or a state dict'
        )
    return checkpoint


def _abridge(names: Sequence[str], limit: int = 3) -> str:
    return ', '.join(names[:limit]) + (', ...' if len(names) > limit else '')


def load_backbone(model: nn.Module, path: str | Path, prefix: str = 'backbone.') -> None:
    """Load a backbone's weights out of a checkpoint; every key must fit, both ways.

    A file whose keys do not match would otherwise leave the model at its random initialisation
    with a log line at most. Keys that do not start with ``prefix`` (neck, head, queue) are not
    the backbone's and are left aside. The model is unchanged if an error is raised.

    Args:
        model (nn.Module): The backbone, as built from a config's ``model.backbone``.
        path (str | Path): An mmengine checkpoint (weights under ``state_dict``) or a plain state
            dict.
        prefix (str): What the backbone's keys start with in the file, with its dot; ``''`` for a
            file that holds the backbone alone. Defaults to ``'backbone.'``.

    Raises:
        CheckpointError: If the file cannot be read, has no key with the prefix, or has missing,
            unexpected or differently shaped weights; the message names them.
    """
    checkpoint = read_checkpoint(path)
    weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, dict) or not all(isinstance(key, str) for key in weights):
        raise CheckpointError(f'{path}: its state_dict is no mapping of names to tensors')
    found = {
        key[len(prefix) :]: value
        for key, value in weights.items()
        if key.startswith(prefix) and isinstance(value, torch.Tensor)
    }
    if not found:
        raise CheckpointError(
            f'{path}: no weight starts with {prefix!r}; the file has {_abridge(list(weights))}'
        )
    expected = model.state_dict()
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    reshaped = [
        f'{key} {tuple(found[key].shape)} instead of {tuple(value.shape)}'
        for key, value in expected.items()
        if key in found and found[key].shape != value.shape
    ]
    faults = [
        f'{len(names)} {fault} ({_abridge(names)})'
        for names, fault in (
            (missing, 'missing'),
            (unexpected, 'unexpected'),
            (reshaped, 'of another shape'),
        )
        if names
    ]
    if faults:
        raise CheckpointError(
            f'{path}: the weights under {prefix!r} do not fit {type(model).__name__}: '
            + '; '.join(faults)
        )
    model.load_state_dict(found)
