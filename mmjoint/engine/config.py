"""Reading a config and the options that change it: the one way in for every tool."""

import difflib
import inspect
import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config, ConfigDict, DictAction
from mmengine.runner import Runner

from ..utils.errors import DEBUG_HELP

# What mmengine reads from the top level of a config: the Runner's arguments, and what it looks up
# by name. Everything else there is a variable that other settings are made of.
_TOP_LEVEL_KEYS = set(inspect.signature(Runner).parameters) - {'cfg'} | {
    'activation_checkpointing',
    'compile',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
}
_DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


class _OptionAction(DictAction):
    """mmengine's KEY=VALUE parser, without two faults of it.

    It fails on a missing `=` without saying where, and takes the spaces out of a folder's name.
    """

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: list[str],
        option_string: str | None = None,
    ) -> None:
        for option in values:
            if '=' not in option:
                parser.error(f'{option_string}: expected KEY=VALUE, got {option!r}')
        super().__call__(parser, namespace, values, option_string)
        for option in values:
            key, value = option.split('=', maxsplit=1)
            if ' ' in value and not re.search(r'^[\'"]?[\[(]|,', value):  # no list
                namespace.cfg_options[key] = value


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments that train.py and test.py share, under mmpretrain's names.

    Args:
        parser (ArgumentParser): The tool's parser.
    """
    parser.epilog = DEBUG_HELP
    parser.add_argument(
        '--work-dir', help='folder of logs and checkpoints (default: work_dirs/NAME OF THE CONFIG)'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_OptionAction,
        default={},
        metavar='KEY=VALUE',
        help='settings of the config to change, such as train_dataloader.batch_size=64; a list is '
        'written KEY="[a,b]", an element of a list KEY.0.NAME=VALUE',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes; dist_train.sh and slurm_train.sh set it',
    )
    parser.add_argument(
        '--no-pin-memory', action='store_true', help='no pin_memory in the data loaders'
    )


def load_config(args: Namespace) -> Config:
    """Read the config that the arguments name and apply what ``add_arguments`` added.

    Args:
        args (Namespace): With ``config``, the path of the file.

    Returns:
        Config: The config, with a work_dir and a launcher.

    Raises:
        ValueError: If there is no such file, it cannot be read, or an option changes nothing.
    """
    if not Path(args.config).is_file():
        raise ValueError(f'no config file {args.config}')
    try:
        cfg = Config.fromfile(args.config)
    except Exception as error:  # a config is code: anything may come
        raise ValueError(f'config {args.config}: {type(error).__name__}: {error}') from error
    for key in args.cfg_options:
        _check_option(key, cfg)
    cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', Path(args.config).stem)
    for loader in dataloaders(cfg):
        loader.setdefault('collate_fn', dict(type='default_collate'))
        # mmengine does not take off the key that inheriting from another package's config adds.
        if isinstance(loader.collate_fn, dict):
            loader.collate_fn.pop('_scope_', None)
        loader.setdefault('pin_memory', True)
        if args.no_pin_memory:
            loader.pin_memory = False
        if not loader.get('num_workers'):
            loader.persistent_workers = False  # without workers torch refuses it
    return cfg


def _check_option(key: str, cfg: Config) -> None:
    top = key.split('.')[0]
    if top in _TOP_LEVEL_KEYS:
        return
    if top in cfg:
        raise ValueError(
            f'--cfg-options {key}: {top} is a variable that the config file has already used; set '
            'what is made of it instead, such as train_dataloader.dataset.data_root'
        )
    close = difflib.get_close_matches(top, _TOP_LEVEL_KEYS, n=1)
    raise ValueError(
        f'--cfg-options {key}: there is no setting {top}'
        + (f'; did you mean {close[0]}?' if close else '')
    )


def dataloaders(cfg: Config) -> Iterator[ConfigDict]:
    """Yield the settings of the data loaders that a config has.

    Args:
        cfg (Config): A config.

    Yields:
        ConfigDict: Those of training, validation and test, in this order.
    """
    return (cfg[name] for name in _DATALOADERS if cfg.get(name) is not None)
