"""What the tools that run training share: reading a config, fitting it to the machine, resuming.

Everything a tool does before the Runner trains or tests; ``cpu.py`` has what a machine without GPUs
needs.
"""

import ctypes
import difflib
import inspect
import os
import re
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.device import get_device
from mmengine.hooks import CheckpointHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, CheckpointLoader, Runner

from ..checkpoints import CheckpointError, read_checkpoint
from ..utils.errors import DEBUG_HELP
from .machine import fit_to_cpu

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
    for loader in _dataloaders(cfg):
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


def _dataloaders(cfg: Config) -> Iterator[ConfigDict]:
    return (cfg[name] for name in _DATALOADERS if cfg.get(name) is not None)


def guard_run(cfg: Config) -> None:
    """Make a training config stop at a non-finite loss and save whole checkpoints only.

    Args:
        cfg (Config): Changed in place. A config without these hooks gets them.
    """
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    checkpoint = hooks.setdefault('checkpoint', ConfigDict(type='CheckpointHook', interval=1))
    stock = ('CheckpointHook', 'mmengine.CheckpointHook', CheckpointHook)
    if checkpoint is not None and checkpoint.get('type') in stock:
        checkpoint.type = 'AtomicCheckpointHook'
    custom_hooks = cfg.get('custom_hooks') or []
    if not any('NonFiniteLossHook' in str(hook.get('type')) for hook in custom_hooks):
        cfg.custom_hooks = [*custom_hooks, dict(type='NonFiniteLossHook')]


def fit_to_machine(cfg: Config) -> None:
    """Fit a config to the machine; where there are GPUs nothing changes.

    Args:
        cfg (Config): With a ``launcher``; changed in place.

    Raises:
        ValueError: If the launcher's variables are not set or there are too few GPUs.
    """
    if cfg.launcher == 'slurm':
        _require_environment('slurm', 'srun', ['SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'])
    elif cfg.launcher == 'pytorch':
        names = ['RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT']
        _require_environment('pytorch', 'tools/dist_train.sh or torchrun', names)
        _end_with_launcher()
    if get_device() == 'cpu':
        for loader in _dataloaders(cfg):
            loader.pin_memory = False
        fit_to_cpu(cfg)
    elif get_device() == 'cuda':
        processes = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
        if processes > torch.cuda.device_count():
            raise ValueError(
                f'{processes} processes for {torch.cuda.device_count()} GPUs: start at most one a '
                'GPU, or set CUDA_VISIBLE_DEVICES=-1 to run on the CPU'
            )


def _require_environment(launcher: str, starter: str, names: list[str]) -> None:
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise ValueError(
            f'--launcher {launcher} is for processes that {starter} started: '
            f'{", ".join(missing)} not in the environment'
        )


def _end_with_launcher() -> None:
    """Have the kernel end this process when the launcher is killed.

    torchrun gives each process a session of its own, so that the processes of a killed launcher
    would go on training, in the way of the run that is started in its place.
    """
    if sys.platform == 'linux' and 'TORCHELASTIC_RUN_ID' in os.environ:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1 is PR_SET_PDEATHSIG


def find_last_checkpoint(work_dir: str) -> str | None:
    """Find the checkpoint to go on from.

    Args:
        work_dir (str): Folder of an earlier run.

    Returns:
        str | None: What the folder's ``last_checkpoint`` names; if that was cut off or the folder
        was moved, its newest ``epoch_*.pth`` or ``iter_*.pth``; None if there is neither.
    """
    pointer = Path(work_dir, 'last_checkpoint')
    named = pointer.read_text().strip() if pointer.is_file() else ''
    if '://' in named or Path(named).is_file():
        return named
    saved = [
        path
        for path in Path(work_dir).glob('*.pth')
        if re.fullmatch(r'(epoch|iter)_\d+', path.stem)
    ]
    return str(max(saved, key=lambda path: path.stat().st_mtime)) if saved else None


def build_runner(cfg: Config, strict: bool) -> Runner:
    """Build the Runner of a config.

    Args:
        cfg (Config): From ``load_config``, fitted to the machine.
        strict (bool): Whether the weights of ``cfg.load_from`` must be those of the model, neither
            less nor more.

    Returns:
        Runner: Not started yet.
    """
    # mmengine's own reader falls back to running whatever code a file carries (onedl-mmengine) or
    # refuses its own checkpoints under torch >= 2.6 (mmengine 0.10).
    CheckpointLoader.register_scheme('', load_from_local, force=True)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    if strict:
        runner.register_hook(_StrictLoadHook(cfg.load_from))
    if cfg.get('resume'):
        runner.register_hook(_ResumeOrderHook())
    build_train_loop = runner.build_train_loop

    def build_train_loop_with_batches(loop: object) -> BaseLoop:
        loop = build_train_loop(loop)
        if len(loop.dataloader) == 0:
            raise ValueError(
                f'the training set has {len(loop.dataloader.dataset)} images, fewer than one batch '
                f'(train_dataloader.batch_size {loop.dataloader.batch_size}, drop_last) in each '
                'process: nothing would be trained'
            )
        return loop

    runner.build_train_loop = build_train_loop_with_batches
    return runner


def load_from_local(filename: str, map_location: object = None) -> dict:
    """Read a checkpoint as mmengine's loader of this name does, but never run its code.

    Args:
        filename (str): The file.
        map_location (optional): Ignored: what loads the weights moves them to the right device.

    Returns:
        dict: The checkpoint.

    Raises:
        CheckpointError: If the file is missing or damaged.
    """
    return read_checkpoint(os.path.expanduser(filename))


class _StrictLoadHook(Hook):
    """Refuse a checkpoint of another model; mmengine only logs what does not fit."""

    def __init__(self, path: str) -> None:
        self.path = path

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        expected = {name: value.shape for name, value in model.state_dict().items()}
        found = {
            name.removeprefix('module.'): value.shape
            for name, value in checkpoint.get('state_dict', checkpoint).items()
            if isinstance(value, torch.Tensor)
        }
        faults = {
            'missing': expected.keys() - found.keys(),
            'unexpected': found.keys() - expected.keys(),
            'of another shape': {
                name for name in expected.keys() & found.keys() if expected[name] != found[name]
            },
        }
        told = [
            f'{len(names)} {fault} ({", ".join(sorted(names)[:3])}{", ..." * (len(names) > 3)})'
            for fault, names in faults.items()
            if names
        ]
        if told:
            raise CheckpointError(
                f'{self.path}: not a checkpoint of this {type(model).__name__}: weights '
                + ', '.join(told)
            )


class _ResumeOrderHook(Hook):
    """Shuffle a resumed run as the interrupted one was shuffled.

    mmengine reads a checkpoint's seed when the sampler exists already, with a seed of this start.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        seed = checkpoint.get('meta', {}).get('seed')
        loader = runner.train_dataloader
        for sampler in (loader.sampler, getattr(loader.batch_sampler, 'sampler', None)):
            # A seed that the config gives to the sampler itself stays.
            if seed is not None and getattr(sampler, 'seed', None) == runner.seed:
                sampler.seed = seed


def disconnect() -> None:
    """Part from the other processes at the end of a run; torch warns at exit otherwise."""
    if dist.is_initialized():
        dist.destroy_process_group()
