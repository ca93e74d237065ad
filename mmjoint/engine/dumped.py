"""Reads configs that a run has left and that may come from others, as data and never as code."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from mmengine.config import Config

from ..utils.literals import read_assignments

# Packages whose registries a type may come from. A name without a package is looked up in all.
_PACKAGES = ('mmengine', 'mmcv', 'mmpretrain', 'mmjoint')
# mmengine reads annotation files of these kinds by calling what they name.
_PROGRAMS = ('.pkl', '.pickle', '.yaml', '.yml')


def read_dumped_config(path: str | Path) -> tuple[Config, list[str]]:
    """Read a config that mmengine wrote, such as ``vis_data/config.py``, without running it.

    Args:
        path (str | Path): The file.

    Returns:
        tuple[Config, list[str]]: The settings that are literals and ``dict(...)``, and the lines
        that are not, which are left out.

    Raises:
        ValueError: The file is not text.
        OSError: It cannot be read.
    """
    try:
        text = Path(path).read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not text in UTF-8 ({error.reason})') from error
    settings, unread = read_assignments(text)
    reserved = {'filename', 'text', 'pretty_text', 'env_variables'} & settings.keys()
    unread += [f'{key}: a name that configs cannot have' for key in sorted(reserved)]
    settings = {key: value for key, value in settings.items() if key not in reserved}
    return Config(settings, filename=str(path)), unread


def refuse_code(cfg: Config) -> None:
    """Refuse to build a config in which a type is not a registered class.

    mmengine imports and calls any function that a ``type`` with dots names.

    Args:
        cfg (Config): A config from ``read_dumped_config``.

    Raises:
        ValueError: A type names another function or class, or a file that is a program would be
            read.
    """
    for place, key, value in _texts(cfg.to_dict()):
        if key in ('type', '_scope_'):
            package, _, name = value.rpartition('.')
            # If a registry lacks the name, an attribute of the package with that name is used.
            if package and (package not in _PACKAGES or hasattr(import_module(package), name)):
                raise ValueError(f'{cfg.filename}: {place}={value!r} is not a class of a registry')
        if value.lower().endswith(_PROGRAMS):
            raise ValueError(f'{cfg.filename}: {place}={value!r} may carry code, it is not read')


def _texts(value: object, place: str = '', key: str = '') -> Iterator[tuple[str, str, str]]:
    """Yield the texts of a config: the place of each, the last name of the place, and the text."""
    if isinstance(value, str):
        yield place, key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, f'{place}.{name}'.lstrip('.'), str(name))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _texts(inner, f'{place}.{number}', key)
