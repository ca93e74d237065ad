"""Reading checkpoints and loading backbones from them, strictly."""

import hashlib
import importlib
import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or does not fit the model."""


class _History:
    """Stand in for mmengine's HistoryBuffer, which then need not be installed to read a file."""


class _Namespace:
    """Stand in for argparse's Namespace: DINO, torchvision and timm save their arguments."""


def _no_attribute(owner: object, name: str) -> None:
    """Stand in for ``getattr``, by which a pickled HistoryBuffer refers to its own methods.

    The real one would hand any attribute of any class to the file.
    """


def _safe_globals() -> list:
    """Return what the checkpoints of the known programs hold besides weights.

    mmengine's have scalars and their histories; others have command line arguments.
    """
    # `numpy._core` is numpy 2's name and `numpy.core` numpy 1's; files of either are read by both.
    multiarray = getattr(np, '_core', None) or np.core
    functions = (multiarray.multiarray._reconstruct, multiarray.multiarray.scalar)
    dtypes = {type(np.dtype(code)) for code in np.typecodes['All'] if code != 'O'}
    return [
        (_History, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (_no_attribute, 'builtins.getattr'),
        (_Namespace, 'argparse.Namespace'),
        np.ndarray,
        np.dtype,
        *dtypes,
        *(
            (function, f'{module}.multiarray.{function.__name__}')
            for function in functions
            for module in ('numpy.core', 'numpy._core')
        ),
    ]


class _ArrayUnpickler(pickle.Unpickler):
    """Read a pickle of arrays, as detectron2's are, and refuse whatever else it names."""

    _ALLOWED = {
        'numpy': ('ndarray', 'dtype'),
        'numpy.core.multiarray': ('_reconstruct', 'scalar'),
        'numpy._core.multiarray': ('_reconstruct', 'scalar'),
        'numpy.core.numeric': ('_frombuffer',),
        'numpy._core.numeric': ('_frombuffer',),
        'collections': ('OrderedDict',),
        '_codecs': ('encode',),  # bytes, in pickles of Python 2's protocol
    }

    def find_class(self, module: str, name: str) -> object:
        if name not in self._ALLOWED.get(module, ()):
            raise pickle.UnpicklingError(f'GLOBAL {module}.{name} is not allowed')
        # numpy 1 and 2 each know their own name of the module.
        if module.startswith('numpy.') and not hasattr(np, '_core'):
            module = module.replace('_core', 'core')
        elif module.startswith('numpy.core'):
            module = module.replace('numpy.core', 'numpy._core')
        return getattr(importlib.import_module(module), name)


def read_checkpoint(path: str | Path, trust: bool = False) -> dict:
    """Read a checkpoint to the CPU without running any code that the file may carry.

    Unlike mmengine's loader it never falls back to an unrestricted unpickling.

    Args:
        path (str | Path): A file written by ``torch.save`` (an mmengine checkpoint, a plain state
            dict, ...), a ``.safetensors`` file, or a ``.pkl`` file of detectron2's.
        trust (bool): Let the file run code, which any unpickling does: for a file whose writer you
            trust and that holds more than is read otherwise. Defaults to False.

    Returns:
        dict: The content of the file; without ``trust``, mmengine's log histories and argparse's
        namespaces in it are for no use but to be skipped.

    Raises:
        CheckpointError: If the file is missing, damaged, no dict, or, without ``trust``, holds
            objects other than weights, containers, NumPy scalars and arrays, mmengine's
            HistoryBuffer and argparse's Namespace.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f'{path}: no such checkpoint file')
    try:
        if path.suffix == '.safetensors':
            checkpoint = _read_safetensors(path)
        elif path.suffix == '.pkl':
            with open(path, 'rb') as file:
                unpickler = pickle.Unpickler if trust else _ArrayUnpickler
                checkpoint = _to_tensors(unpickler(file, encoding='latin1').load())
        else:
            with torch.serialization.safe_globals(_safe_globals()):
                checkpoint = torch.load(path, map_location='cpu', weights_only=not trust)
    except CheckpointError:
        raise
    except Exception as error:  # torch raises a dozen types here, by the kind of damage
        foreign = re.search(r'GLOBAL ([\w.]+)', str(error))
        if foreign:
            raise CheckpointError(
                f'{path}: holds {foreign[1]}, which is neither a weight nor part of a known '
                "program's checkpoint; save the state dict alone, from the program that wrote the "
                'file (transfer/convert.py --trust reads all, and lets the file run any code)'
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


def _read_safetensors(path: Path) -> OrderedDict:
    try:
        from safetensors import safe_open  # an extra: few need it
    except ImportError as error:
        raise CheckpointError(
            f"{path}: safetensors is not installed: pip install 'mmjoint[transfer]'"
        ) from error
    with safe_open(path, framework='pt') as file:
        weights = OrderedDict((name, file.get_tensor(name)) for name in file.keys())
        weights.metadata = file.metadata() or {}
    return weights


def _to_tensors(value: object) -> object:
    if isinstance(value, dict):
        return {key: _to_tensors(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in 'fiu':
        return torch.from_numpy(np.array(value))
    return value


def abridge(names: Sequence[str], limit: int = 3) -> str:
    """Return the first few of some names, separated by commas."""
    return ', '.join(names[:limit]) + (', ...' if len(names) > limit else '')


def describe_faults(found: Mapping[str, Tensor], expected: Mapping[str, Sequence[int]]) -> str:
    """Say which weights are missing, unexpected or wrongly shaped.

    Args:
        found (Mapping[str, Tensor]): The weights there are.
        expected (Mapping[str, Sequence[int]]): Names and shapes of those that must be there.

    Returns:
        str: One line; empty if all fit.
    """
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    reshaped = [
        f'{key} {tuple(found[key].shape)} instead of {tuple(shape)}'
        for key, shape in expected.items()
        if key in found and tuple(found[key].shape) != tuple(shape)
    ]
    return '; '.join(
        f'{len(names)} {fault} ({abridge(names)})'
        for names, fault in (
            (missing, 'missing'),
            (unexpected, 'unexpected'),
            (reshaped, 'of another shape'),
        )
        if names
    )


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
            f'{path}: no weight starts with {prefix!r}; the file has {abridge(list(weights))}'
        )
    faults = describe_faults(found, {key: value.shape for key, value in model.state_dict().items()})
    if faults:
        raise CheckpointError(
            f'{path}: the weights under {prefix!r} do not fit {type(model).__name__}: {faults}'
        )
    model.load_state_dict(found)


def file_sha256(path: str | Path) -> str:
    """Compute the SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
