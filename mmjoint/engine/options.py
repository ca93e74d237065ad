"""Changes settings of a config from the command line: ``--cfg-options`` and ``--hook``.

A value is read as the type of its key: where the config has text, or the argument that the key
names accepts only text, the value stays text as it was typed. A key that does not exist is added if
something accepts it; otherwise an error names it.
"""

import contextlib
import difflib
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from mmengine import registry as registries
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import (
    EpochBasedTrainLoop,
    IterBasedTrainLoop,
    LogProcessor,
    Runner,
    TestLoop,
    ValLoop,
    set_random_seed,
)
from torch.utils.data import DataLoader

from .signatures import arguments_of, below, find_classes, suggest, type_name
from .values import parse_value, split_list, strip_brackets, unquote

_KNN_LOADERS = ('knn_train_dataloader', 'knn_val_dataloader')  # which KNNHook and knn.py read
# The keys that mmengine reads from the top level of a config: the Runner's arguments, and keys that
# it looks up by name. All others are variables from which other settings are made.
TOP_LEVEL_KEYS = set(inspect.signature(Runner).parameters) - {'cfg'} | {
    'activation_checkpointing',
    'compile',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    *_KNN_LOADERS,
}
_DEFAULT_HOOKS = {
    'runtime_info': 'RuntimeInfoHook',
    'timer': 'IterTimerHook',
    'sampler_seed': 'DistSamplerSeedHook',
    'logger': 'LoggerHook',
    'param_scheduler': 'ParamSchedulerHook',
    'checkpoint': 'CheckpointHook',
}
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader', *_KNN_LOADERS)
_NOT_MADE = (*_LOADERS, 'model', 'optim_wrapper')  # of a single setting
_LOADER_KEYS = ('dataset', 'num_batch_per_epoch')
# The functions that receive settings without a type, by their place, and the names that mmengine
# removes from them before.
_UNTYPED: dict[str, tuple[tuple[Callable, ...], tuple[str, ...]]] = {
    **dict.fromkeys(_LOADERS, ((DataLoader,), _LOADER_KEYS)),
    'train_cfg': ((EpochBasedTrainLoop, IterBasedTrainLoop), ('type', 'by_epoch')),
    'val_cfg': ((ValLoop,), ('type',)),
    'test_cfg': ((TestLoop,), ('type',)),
    'optim_wrapper': (
        (OptimWrapper, AmpOptimWrapper),
        ('type', 'optimizer', 'constructor', 'paramwise_cfg'),
    ),
    'log_processor': ((LogProcessor,), ('type',)),
    'randomness': ((set_random_seed,), ('diff_rank_seed',)),
    'auto_scale_lr': ((), ('enable', 'base_batch_size')),
    'env_cfg': ((), ('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit')),
    'env_cfg.dist_cfg': ((), ('backend', 'timeout', 'init_backend')),
    'optim_wrapper.clip_grad': (
        (),
        ('type', 'max_norm', 'norm_type', 'error_if_nonfinite', 'clip_value'),
    ),
    'default_hooks': ((), tuple(_DEFAULT_HOOKS)),
    'env_cfg.mp_cfg': ((), ('mp_start_method', 'opencv_num_threads')),
}
# mmengine removes these from settings with a type before it builds the type.
_TAKEN_OUT = {
    'type',
    '_scope_',
    'init_cfg',
    'data_preprocessor',
    'optimizer',
    'constructor',
    'paramwise_cfg',
    'by_epoch',
    'priority',
    'convert_to_iter_based',
}


class _Arguments(NamedTuple):
    """The arguments of the function or class built from a dict of settings."""

    known: dict[str, set[type] | None]  # name -> the accepted types, None if unknown
    open: bool  # whether other names are accepted too
    owner: str  # the function or class, for messages


def apply_options(cfg: Config, options: Iterable[str]) -> None:
    """Change the settings of a config as ``--cfg-options`` says.

    Args:
        cfg (Config): The config; changed in place.
        options (Iterable[str]): Options ``KEY=VALUE``; dots join the parts of a key, and an element
            of a list is named by its index.

    Raises:
        ValueError: An option has no ``=``, names a key that is not in the config and that nothing
            accepts, or has a value of the wrong type.
    """
    for option in options:
        key, equals, text = option.partition('=')
        if not equals or not key:
            raise ValueError(f'--cfg-options {option}: expected KEY=VALUE')
        _check_top_level(key, cfg)
        _set(cfg, key, text, f'--cfg-options {key}')


def apply_hooks(cfg: Config, hooks: Iterable[Sequence[str]]) -> None:
    """Add hooks to a config, or change its hooks, as ``--hook`` says.

    Args:
        cfg (Config): The config; changed in place.
        hooks (Iterable[Sequence[str]]): For each, the type of a hook and its arguments,
            ``KEY=VALUE``. A hook of that type in ``custom_hooks`` or ``default_hooks`` is changed;
            if there is none, one is added.

    Raises:
        ValueError: There is no such hook, several have that type, or an argument is wrong.
    """
    for kind, *arguments in hooks:
        label = f'--hook {kind}'
        if '=' in kind or not find_classes(kind, Hook):
            known = {name for registry in below(registries.HOOKS) for name in registry.module_dict}
            raise ValueError(f'{label}: there is no hook of this name{suggest(kind, known)}')
        custom = list(cfg.get('custom_hooks') or ())
        default = list((cfg.get('default_hooks') or {}).values())
        found = [hook for hook in custom + default if hook and type_name(hook) == kind]
        if len(found) > 1:
            raise ValueError(
                f'{label}: the config has {len(found)} of them; name one by its number, such as '
                '--cfg-options custom_hooks.0.interval=5'
            )
        hook = found[0] if found else ConfigDict(type=kind)
        for argument in arguments:
            key, equals, text = argument.partition('=')
            if not equals or not key:
                raise ValueError(f'{label} {argument}: expected KEY=VALUE')
            _set(hook, key, text, f'{label} {key}')
        if not found:
            cfg.custom_hooks = [*custom, hook]


def _check_top_level(key: str, cfg: Config) -> None:
    top = key.split('.')[0]
    if top in TOP_LEVEL_KEYS:
        return
    if top in cfg:
        raise ValueError(
            f'--cfg-options {key}: {top} is a variable that the config file has already used; set '
            'what is made of it instead, such as train_dataloader.dataset.data_root'
        )
    raise ValueError(
        f'--cfg-options {key}: there is no setting {top}{suggest(top, TOP_LEVEL_KEYS)}'
    )


def _set(cfg: Config | ConfigDict, key: str, text: str, label: str) -> None:
    """Follow a key to the node that holds its last part, and set it."""
    node: Any = cfg
    parts = key.split('.')
    for i, part in enumerate(parts):
        place, last = '.'.join(parts[:i]), i + 1 == len(parts)
        if isinstance(node, list):
            if not part.isdigit() or int(part) >= len(node):
                raise ValueError(f'{label}: {_say_elements(place, node, part)}')
            name: Any = int(part)
            old, takes = node[name], None
        elif isinstance(node, Config | dict):
            name, arguments = part, _arguments(node, place)
            takes = arguments.known.get(name) if arguments else None
            if name not in node:
                if name.isdigit():
                    hint = '; --hook TYPE KEY=VALUE adds a hook' if place == 'custom_hooks' else ''
                    raise ValueError(
                        f'{label}: {place or "the config"} has no element {name}{hint}'
                    )
                _check_new(node, place, name, arguments, label)
            old = node.get(name)
            if old is None and not last:
                if not place and name in _NOT_MADE:
                    raise ValueError(f'{label}: the config has no {name} that could be changed')
                node[name] = ConfigDict()
                old = node[name]
                if place == 'default_hooks' and name in _DEFAULT_HOOKS:
                    old.type = _DEFAULT_HOOKS[name]
        else:
            raise ValueError(
                f'{label}: {place} is {node!r}, which has no {part}; it can only be set whole'
            )
        if last:
            node[name] = _read_value(text, old, takes, label)
        else:
            node = old


def _say_elements(place: str, node: list, part: str) -> str:
    if not node:
        return f'{place} is an empty list; it has no element {part}'
    names = [type_name(element) for element in node]
    named = f' ({", ".join(f"{i} {name}" for i, name in enumerate(names))})' if all(names) else ''
    return f'{place} has the elements 0 to {len(node) - 1}{named}, not {part}'


def _check_new(
    node: Config | dict, place: str, name: str, arguments: _Arguments | None, label: str
) -> None:
    """Raise if nothing accepts a new key; warn if that cannot be known."""
    where = place or 'the config'
    if not name:
        raise ValueError(f'{label}: a part of the key is empty')
    if not place and isinstance(node, Config):
        return  # checked with the top level
    siblings = {key for key in node if isinstance(key, str) and not key.startswith('_')}
    if arguments is None:
        close = difflib.get_close_matches(name, siblings, n=1, cutoff=0.75)
        if close:
            raise ValueError(f'{label}: {where} has no {name}; did you mean {close[0]}?')
        # Names that the user chooses, such as those in paramwise_cfg.custom_keys.
        if siblings:
            print(f'warning: {label}: {where} had no {name}; it is added', file=sys.stderr)
    elif name not in arguments.known:
        known = siblings | set(arguments.known)
        if not arguments.open:
            raise ValueError(
                f'{label}: {where} has no {name}, and {arguments.owner} takes no such argument'
                + suggest(name, known)
            )
        # It takes others than it names, but what is nearly one of these is a slip.
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
        if close:
            raise ValueError(f'{label}: {where} has no {name}; did you mean {close[0]}?')
        print(
            f'warning: {label}: {arguments.owner} names no argument {name}, but takes any; it is '
            'added',
            file=sys.stderr,
        )


# The functions and classes that receive settings.


def _arguments(node: Config | dict, place: str) -> _Arguments | None:
    """Return what a dict of settings may contain; None if that cannot be known."""
    kind = type_name(node)
    if kind:
        classes = find_classes(kind) if isinstance(node.get('type'), str) else [node['type']]
        # Several registries have a class of this name: arguments of any of them are accepted.
        found = [arguments_of(cls) for cls in classes]
        if not found:
            return None
        known: dict[str, set[type] | None] = dict.fromkeys(_TAKEN_OUT)
        for arguments, _ in found:
            known |= arguments
        if place == 'optim_wrapper':  # --amp makes it one of these
            known |= arguments_of(AmpOptimWrapper)[0]
        return _Arguments(known, any(more for _, more in found), kind)
    if place in _UNTYPED:
        owners, names = _UNTYPED[place]
        known = dict.fromkeys(names)
        for owner in owners:
            known |= arguments_of(owner)[0]
        return _Arguments(known, False, owners[0].__name__ if owners else 'mmengine')
    if not place and isinstance(node, Config):
        return _Arguments(arguments_of(Runner)[0], True, 'Runner')
    return None


# Reading values.


def _read_value(text: str, old: Any, takes: set[type] | None, label: str) -> Any:
    """Read a value as the type of its key."""
    try:
        value = parse_value(text)
    except ValueError as error:
        if isinstance(old, str) or (takes and str in takes):  # text may contain brackets
            return text
        raise ValueError(f'{label}: {error}') from None
    if value is None:
        return None
    # Text without brackets is a list only where the config has a list: text may contain commas.
    bare = isinstance(value, list) and strip_brackets(text) == text.strip()
    others = takes - {str} if takes else set()
    if isinstance(old, str) and (bare or not _fits(value, others)):
        return unquote(text)
    if takes and str in takes and not _fits(value, others):
        return unquote(text)
    if isinstance(old, list | tuple) and old and all(isinstance(each, str) for each in old):
        if not isinstance(value, list | tuple):
            return unquote(text)
        value = type(value)(unquote(part) for part in split_list(strip_brackets(text)))
    if old is None and isinstance(value, str) and takes and not takes & {Callable}:
        kinds = ' or '.join(sorted(kind.__name__ for kind in takes - {type(None)}))
        raise ValueError(f'{label}: expected {kinds}, got {text!r}')
    if isinstance(old, bool):
        if isinstance(value, str) and not _fits(value, takes):
            raise ValueError(f'{label}: expected True or False, got {text!r}')
    elif isinstance(old, int | float):
        value = _read_number(value, old, takes, text, label)
    if _holds_settings(old) and not _holds_settings(value) and not _fits(value, takes):
        if not (isinstance(old, list) and value == []):
            raise ValueError(f'{label}: {_say_settings(old)}, which {text!r} cannot replace')
    return _to_config(value)


def _read_number(value: Any, old: float, takes: set[type] | None, text: str, label: str) -> Any:
    if isinstance(value, str) and not _fits(value, takes):
        raise ValueError(f'{label}: expected a number like {old}, got {text!r}')
    if isinstance(old, int) and isinstance(value, float):
        if value.is_integer():
            return int(value)
        if takes and takes <= {int, type(None)}:
            raise ValueError(f'{label}: expected an integer like {old}, got {text!r}')
    return value


def _say_settings(old: Any) -> str:
    if isinstance(old, dict):
        return f'it holds the settings {", ".join(map(str, old))}; set one of them'
    return (
        f'it is a list of {len(old)} settings ({", ".join(map(type_name, old))}); set one by its '
        'number, KEY.0.NAME=VALUE, or add a hook by --hook TYPE KEY=VALUE'
    )


def _holds_settings(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(element, dict) for element in value)
    return isinstance(value, dict)


def _fits(value: Any, takes: set[type] | None) -> bool:
    if not takes:
        return False
    if isinstance(value, str):  # text is a sequence too
        return str in takes
    if isinstance(value, int) and not isinstance(value, bool) and float in takes:
        return True
    for kind in takes:
        with contextlib.suppress(TypeError):  # a protocol does not support isinstance
            if isinstance(value, kind):
                return True
    return False


def _to_config(value: Any) -> Any:
    if isinstance(value, dict):
        return ConfigDict({name: _to_config(element) for name, element in value.items()})
    if isinstance(value, list | tuple):
        return type(value)(_to_config(element) for element in value)
    return value
