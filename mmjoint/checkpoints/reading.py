"""Reads checkpoints as data, and checks that they are whole and that their values are possible."""

import hashlib
import mmap
import pickle
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

from .archive import check_sums, load_file
from .stand_ins import ForeignError, RefusedError
from .unpickling import SafeUnpickler


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or does not fit the model."""


def read_checkpoint(path: str | Path, trust: bool = False) -> dict:
    """Read a checkpoint to the CPU without running any code that the file may contain.

    Unlike the loaders of PyTorch and mmengine it calls nothing that the file names, verifies the
    checksums of the archive, and refuses files that would exhaust the machine.

    Args:
        path (str | Path): A file written by ``torch.save`` (an mmengine checkpoint, a plain state
            dict, ...), a ``.safetensors`` file, or a ``.pkl`` file from detectron2.
        trust (bool): Whether the file may run code, as any unpickling does. Use it only for a file
            whose writer you trust and that contains more than can be read otherwise. A line on
            stderr reports it. Defaults to False.

    Returns:
        dict: The content of the file. Without ``trust``, everything that is not a weight, an array,
            a number, a text or a container of them (log histories, command-line arguments) is
            replaced by a placeholder object that can only be skipped.

    Raises:
        CheckpointError: If the file is missing, damaged or not a dict, or, without ``trust``,
            contains objects that no known program stores in a checkpoint; the message says which.
    """
    path = Path(path)
    if not path.is_file():
        remote = '; it is not a local file, download it first' if ':/' in str(path) else ''
        raise CheckpointError(f'{path}: no such checkpoint file{remote}')
    if trust:
        print(f'{path}: trusted, any code that it carries is run', file=sys.stderr)
    checkpoint: object
    try:
        if path.suffix == '.safetensors':
            checkpoint = _read_safetensors(path)
        elif path.suffix == '.pkl':
            checkpoint = _to_tensors(_read_pickle(path, trust))
        elif trust:
            check_sums(path)
            checkpoint = torch.load(path, map_location='cpu', weights_only=False)
        else:
            checkpoint = load_file(path)
    except CheckpointError:
        raise
    except ForeignError as error:
        raise CheckpointError(
            f'{path}: holds {error}, which is neither a weight nor part of a known '
            "program's checkpoint; save the state dict alone, from the program that wrote the "
            'file (transfer/convert.py --trust reads all, and lets the file run any code)'
        ) from error
    except RefusedError as error:
        raise CheckpointError(f'{path}: holds {_line(error)}') from error
    except Exception as error:  # one of a dozen types, depending on the damage
        raise CheckpointError(
            f'{path}: not a readable PyTorch checkpoint ({type(error).__name__}: {_line(error)})'
        ) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(
            f'{path}: holds a {type(checkpoint).__name__}; expected a checkpoint or a state dict'
        )
    return checkpoint


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [''])[0][:300]


def _read_pickle(path: Path, trust: bool) -> object:
    with open(path, 'rb') as file:
        if trust:
            return pickle.Unpickler(file, encoding='latin1').load()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return SafeUnpickler(content).load()


def _read_safetensors(path: Path) -> OrderedDict:
    try:
        from safetensors import safe_open  # an optional dependency
    except ImportError as error:
        raise CheckpointError(
            f"{path}: safetensors is not installed: pip install 'mmjoint[transfer]'"
        ) from error
    with safe_open(path, framework='pt') as file:
        weights = OrderedDict((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118 (no dict)
        vars(weights)['metadata'] = file.metadata() or {}
    return weights


def _to_tensors(value: object) -> object:
    if isinstance(value, dict):
        return {key: _to_tensors(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in 'fiu':
        return torch.from_numpy(np.array(value))
    return value


def file_sha256(path: str | Path) -> str:
    """Compute the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
