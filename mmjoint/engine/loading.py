"""Loads checkpoints into a Runner: as data, from files or addresses, and checked for fit."""

import os
from pathlib import Path

import torch
from mmengine.dist import barrier, get_dist_info
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model.weight_init import PretrainedInit
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner import CheckpointLoader, Runner
from mmengine.runner.checkpoint import (
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)
from torch import Tensor, nn

from ..checkpoints import CheckpointError, read_checkpoint
from ..checkpoints.facts import contradiction
from ..checkpoints.fitting import (
    COMPILED,
    describe_faults,
    describe_values,
    state_dict_of,
    without_wrappers,
)
from ..utils.models import unwrapped
from .history import restore_histories

# Names that mmengine gives to files, and functions that return their addresses.
_CATALOGS = {
    'torchvision': get_torchvision_models,
    'modelzoo': get_torchvision_models,
    'open-mmlab': get_external_models,
    'openmmlab': get_external_models,
    'mmcls': get_mmcls_models,
}


def use_safe_loader() -> None:
    """Make all of mmengine read checkpoints by ``load_from_file_or_address``.

    mmengine's own readers run code from the file (onedl-mmengine) or refuse their own checkpoints
    under torch >= 2.6 (mmengine 0.10). ``Pretrained`` in an ``init_cfg`` then reports what does not
    fit, and fails if nothing fits.
    """
    for prefix in ['', *CheckpointLoader._schemes]:
        CheckpointLoader.register_scheme(prefix, load_from_file_or_address, force=True)
    WEIGHT_INITIALIZERS.register_module(name='Pretrained', module=CheckedPretrained, force=True)


def load_from_file_or_address(filename: str, map_location: object = None) -> dict:
    """Read a checkpoint as mmengine's loaders do, but never run its code.

    Args:
        filename (str): A local file, ``http://...``, ``https://...``, or a name in mmengine's
            catalogs (``torchvision://resnet50``, ``open-mmlab://...``, ``mmcls://...``).
        map_location (optional): Ignored: the weights are moved to the right device when loaded.

    Returns:
        dict: The checkpoint, with its weights under ``state_dict``, without the prefixes that
            torch.compile adds to names. It does not contain the config that mmcv's checkpoints
            store as a program (``meta['config']``), since mmengine would run it.

    Raises:
        CheckpointError: If the file is missing or damaged, or the address is of another kind.
    """
    checkpoint = dict(read_checkpoint(_local_file(filename)))
    meta = checkpoint.get('meta')
    if isinstance(meta, dict):
        checkpoint['meta'] = {key: value for key, value in meta.items() if key != 'config'}
    if 'state_dict' not in checkpoint:
        weights = checkpoint.get('model', checkpoint)
        if isinstance(weights, dict):
            weights = {key: value for key, value in weights.items() if isinstance(value, Tensor)}
        checkpoint = {'state_dict': weights}
    checkpoint['state_dict'] = state_dict_of(checkpoint, filename)
    return restore_histories(checkpoint)


def _local_file(filename: str) -> str:
    scheme, mark, name = filename.partition('://')
    if not mark:
        return os.path.expanduser(filename)
    address = filename
    if scheme in _CATALOGS:
        address = _CATALOGS[scheme]().get(name)
        if address is None:
            raise CheckpointError(f'{filename}: mmengine has no address of this name')
    if not address.startswith(('http://', 'https://')):
        raise CheckpointError(
            f'{filename}: only local files and http(s) addresses are read; download it and give '
            'the file'
        )
    folder = Path(torch.hub.get_dir(), 'checkpoints')
    path = folder / address.partition('?')[0].rpartition('/')[2]
    rank, _ = get_dist_info()
    # One process per machine downloads; the hub moves a whole file into place.
    if int(os.environ.get('LOCAL_RANK', rank)) == 0 and not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(address, str(path), progress=False)
        except (OSError, ValueError) as error:
            raise CheckpointError(f'{filename}: cannot be downloaded ({error})') from error
    barrier()
    return str(path)


class CheckHook(Hook):
    """Refuse a checkpoint of another model, where mmengine would only log what does not fit.

    Args:
        path (str): The file, for messages.
        strict (bool): Whether the weights must be exactly those of the model. Otherwise one line
            reports what does not fit, and at least one weight must fit.
    """

    def __init__(self, path: str, strict: bool) -> None:
        self.path = path
        self.strict = strict

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the weights before they reach the model.

        Raises:
            CheckpointError: The weights do not fit, or hold values that are impossible for weights.
        """
        model = unwrapped(runner.model)
        weights = _named_as(model, state_dict_of(checkpoint, self.path))
        checkpoint['state_dict'] = weights
        check_weights(model, weights, self.path, self.strict)
        told = contradiction(getattr(model, 'backbone', None) or nn.Identity(), checkpoint)
        if self.strict and told:
            raise CheckpointError(f'{self.path}: {told}')
        if 'ema_state_dict' in checkpoint:
            average = checkpoint['ema_state_dict']
            if isinstance(average, dict) and all(isinstance(key, str) for key in average):
                average = _named_as(model, without_wrappers(average, self.path), 'module.')
                checkpoint['ema_state_dict'] = average
            self._check_average(model, weights, average)

    def _check_average(self, model: nn.Module, weights: dict, average: object) -> None:
        """Check what EMAHook exchanges with the model's weights, name by name."""
        if not isinstance(average, dict) or not isinstance(average.get('steps'), Tensor):
            raise CheckpointError(f'{self.path}: its ema_state_dict is none of EMAHook')
        names = {str(key).removeprefix('module.'): value for key, value in average.items()}
        names.pop('steps')
        lacking = sorted(names.keys() - weights.keys())
        if lacking:
            raise CheckpointError(f'{self.path}: ema_state_dict has {lacking[0]}, state_dict not')
        check_weights(model, names, f'{self.path}: ema_state_dict', self.strict)


def _named_as(model: nn.Module, weights: dict, prefix: str = '') -> dict:
    """Give weights the names that torch.compile has put into those of a model, if it has."""
    names = {prefix + name.replace(COMPILED, ''): prefix + name for name in model.state_dict()}
    if all(name == other for name, other in names.items()):
        return weights
    return {names.get(name, name): value for name, value in weights.items()}


def check_weights(model: nn.Module, weights: dict, path: object, strict: bool) -> None:
    """Compare weights with those of a model that is about to take them.

    Args:
        model (nn.Module): The model.
        weights (dict): Names to tensors; ``module.`` before a name does not count.
        path (object): The file, for messages.
        strict (bool): Whether all must fit. Otherwise a warning says what does not.

    Raises:
        CheckpointError: With ``strict``, a weight is missing, unexpected or of another shape;
            always, if no weight fits or one that does is of values that no weight has.
    """
    expected = model.state_dict()
    found = {name.removeprefix('module.'): value for name, value in weights.items()}
    faults = describe_faults(found, expected)
    if not faults:
        return
    kind = type(model).__name__
    if strict:
        raise CheckpointError(f'{path}: not a checkpoint of this {kind}: weights {faults}')
    fitting = [
        name
        for name, value in expected.items()
        if name in found and getattr(found[name], 'shape', None) == value.shape
    ]
    wrong = describe_values(found, expected)
    if wrong:
        raise CheckpointError(f'{path}: weights {wrong}')
    if not fitting:
        raise CheckpointError(f'{path}: no weight of it fits this {kind}: {faults}')
    print_log(
        f'{path}: {len(fitting)} of the {len(expected)} weights of this {kind} are taken; {faults}',
        logger='current',
        level=30,
    )


class CheckedPretrained(PretrainedInit):
    """mmengine's ``Pretrained`` that reports in one line what does not fit, or fails if all does.

    Args:
        checkpoint (str): A file or address, as documented in ``load_from_file_or_address``.
        prefix (str, optional): The prefix of the module's keys in it. Defaults to None, no prefix.
        map_location (str): Ignored: the weights are moved to the module's device.
    """

    def __call__(self, module: nn.Module) -> None:
        """Check the file against the module, then load it."""
        weights = state_dict_of(load_from_file_or_address(self.checkpoint), self.checkpoint)
        if self.prefix:
            start = self.prefix.rstrip('.') + '.'
            weights = {k[len(start) :]: v for k, v in weights.items() if k.startswith(start)}
        check_weights(module, weights, self.checkpoint, strict=False)
        super().__call__(module)
