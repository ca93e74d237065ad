"""Reads the arguments, and their types, of the classes that a config names."""

import contextlib
import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mmengine import registry as registries
from mmengine.config import Config
from mmengine.registry import Registry


def type_name(node: Any) -> str:
    """Return the type of a dict of settings without its scope; '' if it has none."""
    kind = node.get('type', '') if isinstance(node, Config | dict) else ''
    return (kind if isinstance(kind, str) else getattr(kind, '__name__', '')).split('.')[-1]


def below(registry: Registry) -> Iterator[Registry]:
    """Iterate over a registry and the registries of packages that extend it."""
    yield registry
    for child in registry.children.values():
        yield from below(child)


def find_classes(name: str, base: type = object) -> list[Callable]:
    """Find the classes registered under a name in any registry."""
    tops = [value for value in vars(registries).values() if isinstance(value, Registry)]
    found = []
    for registry in {id(each): each for top in tops for each in below(top)}.values():
        with contextlib.suppress(ImportError):  # the package may need others that are missing
            registry.import_from_location()
        entry = registry.module_dict.get(name)
        if entry is not None and (not isinstance(entry, type) or issubclass(entry, base)):
            found.append(entry)
    return found


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean ...?`` with the known name that is nearest, or '' if none is near."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f'; did you mean {close[0]}?' if close else ''


def arguments_of(owner: Callable) -> tuple[dict[str, set[type] | None], bool]:
    """Return the arguments with the types they accept, and whether others are accepted too.

    If a class passes ``**kwargs`` on, the arguments of its parents are included.
    """
    chain = [owner]
    if isinstance(owner, type):
        chain = [vars(cls)['__init__'] for cls in owner.__mro__[:-1] if '__init__' in vars(cls)]
    known: dict[str, set[type] | None] = {}
    for function in chain:
        parameters = _parameters(function)
        if parameters is None:
            return known, True
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                known.setdefault(parameter.name, _types(parameter))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            known.pop('self', None)
            return known, False
    known.pop('self', None)
    return known, True


def _parameters(function: Callable) -> list[inspect.Parameter] | None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # compiled code has no signature
        return None
    found = []
    for parameter in parameters:
        if isinstance(parameter.annotation, str):
            # An annotation whose name is imported only for type checkers stays as it is.
            with contextlib.suppress(Exception):
                names = getattr(inspect.unwrap(function), '__globals__', {})
                parameter = parameter.replace(annotation=eval(parameter.annotation, names))
        found.append(parameter)
    return found


def _types(parameter: inspect.Parameter) -> set[type] | None:
    """Return the plain types that an argument accepts; None if its annotation does not say."""
    found: set[type] = set()

    def collect(note: Any) -> bool:
        origin = typing.get_origin(note)
        if origin in (typing.Union, types.UnionType):
            return all([collect(part) for part in typing.get_args(note)])
        if origin is typing.Literal:
            return all([collect(type(value)) for value in typing.get_args(note)])
        note = origin or note
        if isinstance(note, type) and note not in (object, Any):
            found.add(note)
            return True
        return False

    note = parameter.annotation
    if isinstance(note, str):  # from __future__ import annotations, or a quoted name
        return None
    return found if note is not parameter.empty and collect(note) else None
