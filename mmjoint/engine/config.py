"""Reads a config and the options that change it, for every tool."""

import errno
import os
import tempfile
import traceback
from argparse import Namespace
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.config.utils import MODULE2PACKAGE

from .options import apply_hooks, apply_options

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# The packages that mmengine takes from `_base_ = 'PACKAGE::CONFIG'` and `get_config`.
MODULE2PACKAGE['mmjoint'] = 'mmjoint'
_DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def read_config(path: str | Path, options: Iterable[str] = ()) -> Config:
    """Read a config file and apply ``--cfg-options``; every tool reads configs through this.

    Args:
        path (str | Path): The file, or ``PACKAGE::CONFIG`` for one that an mm package ships, such
            as ``mmjoint::simclr/simclr_resnet50_8xb64-coslr-100e_in1k.py``.
        options (Iterable[str]): Options ``KEY=VALUE``, as documented in ``apply_options``.

    Returns:
        Config: The config.

    Raises:
        ValueError: There is no such file, it cannot be read (the message names the file and the
            line), or an option changes nothing.
        OSError: The disk of temporary files, of which mmengine makes one, is full.
    """
    path = _shipped(str(path)) if '::' in str(path) else path
    if not Path(path).is_file():
        raise ValueError(f'no config file {path}')
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is code and may raise anything
        if isinstance(error, OSError) and error.errno in _FULL:
            raise OSError(
                f'cannot write to {tempfile.gettempdir()} (TMPDIR names another folder), by way of '
                f'which mmengine reads {path}: {error.strerror}'
            ) from error
        raise ValueError(f'config {_place_of(error, path)}: {_say(error)}') from error
    _forget_scope(cfg._cfg_dict)
    apply_options(cfg, options)
    return cfg


def _shipped(name: str) -> Path:
    """Return the path of ``PACKAGE::CONFIG``."""
    package, _, inner = name.partition('::')
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise ValueError(f'no config {name}: there is no package {package!r} here')
    path = Path(spec.origin).parent / '.mim/configs' / inner
    if not path.is_file():
        raise ValueError(f'no config {name}: there is no file {path}')
    return path


def _forget_scope(node: Any) -> None:
    """Undo what inheriting from ``mmjoint::CONFIG`` adds.

    mmengine marks such dicts with the package as their scope, where it would look for their types;
    those of mmjoint are registered in mmpretrain's scope.
    """
    if isinstance(node, dict):
        if node.get('_scope_') == 'mmjoint':
            node.pop('_scope_')
        node = node.values()
    elif not isinstance(node, (list, tuple)):
        return
    for inner in node:
        _forget_scope(inner)


def _place_of(error: Exception, path: str | Path) -> str:
    """Name the file and the line in which reading a config failed; the file may be a base."""
    frames = list(traceback.walk_tb(error.__traceback__))
    read = [i for i, (frame, _) in enumerate(frames) if frame.f_code.co_name == '_file2dict']
    file, line = str(path), None
    if read:
        inner = frames[read[-1]][0].f_locals.get('filename')
        if inner and os.path.abspath(inner) != os.path.abspath(path):
            file = f'{path}, in its base {inner}' if os.path.isfile(inner) else file
        for frame, number in frames[read[-1] + 1 :]:
            if frame.f_code.co_filename == inner:
                line = number
    if isinstance(error, SyntaxError):
        line = error.lineno
    return f'{file}, line {line}' if line else file


def _say(error: Exception) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f'{type(error).__name__}: {text}'


def load_config(args: Namespace) -> Config:
    """Read the config of a run, and apply the arguments that all tools that run one share.

    Args:
        args (Namespace): Arguments with ``config``, the path of the file, ``cfg_options``,
            ``launcher``, ``work_dir`` and ``no_pin_memory``; ``hook``, as documented in
            ``apply_hooks``, is optional.

    Returns:
        Config: The config, with a work_dir and a launcher.

    Raises:
        ValueError: As documented in ``read_config`` and ``apply_hooks``.
    """
    cfg = read_config(args.config, args.cfg_options)
    apply_hooks(cfg, getattr(args, 'hook', None) or ())
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', Path(args.config).stem)
    for loader in dataloaders(cfg):
        loader.setdefault('collate_fn', dict(type='default_collate'))
        # mmengine does not remove the key that inheriting from another package's config adds.
        if isinstance(loader.collate_fn, dict):
            loader.collate_fn.pop('_scope_', None)
        loader.setdefault('pin_memory', True)
        if args.no_pin_memory:
            loader.pin_memory = False
        if not loader.get('num_workers'):
            loader.persistent_workers = False  # torch refuses it without workers
    return cfg


def dataloaders(cfg: Config) -> Iterator[ConfigDict]:
    """Yield the settings of the data loaders that a config has.

    Args:
        cfg (Config): A config.

    Yields:
        ConfigDict: Those of training, validation and test, in this order.
    """
    return (cfg[name] for name in _DATALOADERS if cfg.get(name) is not None)
