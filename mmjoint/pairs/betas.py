"""Betas as words of a command line, and the places in a config to which they apply."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from mmpretrain.registry import TRANSFORMS

from ..engine.signatures import type_name
from ..transforms import JointTransform, JointView
from ..transforms.base import JointQuantity
from ..transforms.joint_view import pipelines_of

# Key of a beta that is given without a name: it applies to what the config makes joint.
OWN = ''
Betas = dict[str, float | None]


def parse_beta(word: str) -> tuple[str, float | None]:
    """Read a beta of a command line: ``0``, ``None``, ``JointCrop=-1`` or ``JointColor.hue=0``.

    Args:
        word (str): The word.

    Returns:
        tuple[str, float | None]: The name (``OWN`` if there is none) and the beta.

    Raises:
        ValueError: The word has none of these forms.
    """
    name, equals, value = word.rpartition('=')
    try:
        if equals and not name:
            raise ValueError
        return name, None if value.lower() == 'none' else float(value)
    except ValueError:
        raise ValueError(
            f'--beta: {word!r} is not a beta: expected a number or None, with or without a name, '
            'such as 0, None, JointCrop=-1 or JointColor.brightness=0'
        ) from None


def split_settings(words: Sequence[tuple[str, float | None]]) -> list[Betas]:
    """Group betas into the settings that are to be examined one after the other.

    Args:
        words (Sequence[tuple]): Names and betas, as ``parse_beta`` returns them.

    Returns:
        list[dict]: A beta without a name is a setting of its own. Betas with names form one setting
        together, until a name occurs again.
    """
    settings: list[Betas] = []
    for name, beta in words:
        last = settings[-1] if settings else None
        if last is None or name == OWN or OWN in last or name in last:
            settings.append({name: beta})
        else:
            last[name] = beta
    return settings


def one_setting(words: Sequence[tuple[str, float | None]]) -> Betas:
    """Combine betas into the one setting of a run.

    Args:
        words (Sequence[tuple]): Names and betas, as ``parse_beta`` returns them.

    Raises:
        ValueError: The betas form several settings.
    """
    settings = split_settings(words)
    if len(settings) != 1:
        told = ', '.join(map(setting_label, settings))
        raise ValueError(
            f'--beta: a run has one setting, got {len(settings)}: {told}. Give one beta without a '
            'name, or one for each name'
        )
    return settings[0]


def beta_label(beta: float | None) -> str:
    """Format a beta: ``'None'`` or the number."""
    return 'None' if beta is None else f'{beta:.12g}'


def setting_label(betas: Betas) -> str:
    """Format a setting in the words of the command line, such as ``'JointCrop=-1'``."""
    return ' '.join(
        f'{name}={beta_label(b)}' if name else beta_label(b) for name, b in betas.items()
    )


def steps_of(node: Any) -> Iterator[dict]:
    """Iterate over all dicts of a config's node, including the node itself."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from steps_of(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from steps_of(value)


def joint_steps(node: Any) -> Iterator[tuple[dict, JointTransform]]:
    """Find the joint augmentations of a config's node.

    Args:
        node (Any): A step, or a list of steps, of a pipeline.

    Yields:
        tuple[dict, JointTransform]: The dict in the config, and the augmentation built from it.
    """
    for step in steps_of(node):
        kind = step.get('type')
        if isinstance(kind, str):
            kind = TRANSFORMS.get(kind)
        if isinstance(kind, type) and issubclass(kind, JointTransform):
            yield step, TRANSFORMS.build(copy.deepcopy(step))


def laws_of(node: Any) -> dict[str, list[float | None]]:
    """List the current betas of a config's node.

    Args:
        node (Any): A step, or a list of steps, of a pipeline.

    Returns:
        dict[str, list]: Maps ``'CLASS.QUANTITY'`` to the beta in each place.
    """
    return _laws([(type_name(step), transform) for step, transform in joint_steps(node)])


def _laws(transforms: Sequence[tuple[str, JointTransform]]) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    for kind, transform in transforms:
        for name, beta in _betas(transform).items():
            found.setdefault(f'{kind}.{name}', []).append(beta)
    return found


def own_names(laws: dict[str, list[float | None]]) -> list[str]:
    """Return the quantities to which a beta without a name applies.

    Args:
        laws (dict[str, list]): As documented in ``laws_of``.

    Returns:
        list[str]: The quantities that the config makes joint somewhere; if there are none, those of
        the first augmentation. Correlations (rho) are no betas, and need their names.
    """
    steered = {name: betas for name, betas in laws.items() if _argument(name) != 'rho'}
    joint = [name for name, betas in steered.items() if any(beta is not None for beta in betas)]
    first = next(iter(steered), '').split('.')[0]
    return joint or [name for name in steered if name.split('.')[0] == first]


def _argument(name: str) -> str:
    """Return the argument of the constructor that sets the beta of ``'CLASS.QUANTITY'``."""
    return getattr(TRANSFORMS.get(name.split('.')[0]), 'beta_argument', 'beta')


def matching(word: str, laws: dict[str, list[float | None]], where: str) -> list[str]:
    """Return the quantities that a word names.

    Args:
        word (str): ``OWN``, an augmentation, or an augmentation and one of its quantities.
        laws (dict[str, list]): As documented in ``laws_of``.
        where (str): The config's name, for the message.

    Raises:
        ValueError: The word names none; the message lists the available names.
    """
    names = own_names(laws) if word == OWN else []
    names = names or [name for name in laws if word in (name, name.split('.')[0])]
    if names:
        return names
    held: dict[str, list[str]] = {}
    for name in laws:
        held.setdefault(name.split('.')[0], []).append(name.split('.')[1])
    told = ', '.join(f'{kind} ({", ".join(names)})' for kind, names in held.items())
    raise ValueError(
        f'{where}: the views hold no {word or "joint augmentation"} whose beta could be set; '
        + (f'they hold {told}' if told else 'they hold no joint augmentation, such as JointCrop')
    )


def set_betas(node: Any, betas: Betas, where: str) -> dict[str, float | None]:
    """Set the betas of the joint augmentations of a config's node, in place.

    Args:
        node (Any): A step, or a list of steps, of a pipeline.
        betas (dict): The betas to set, as returned by ``split_settings``. A named beta goes to all
            places of that augmentation; ``OWN`` goes to the places that are joint, if there are
            any.
        where (str): The config's name, for messages.

    Returns:
        dict[str, float | None]: The betas that were set; the keys are ``'CLASS.QUANTITY'``.

    Raises:
        ValueError: There is no such augmentation, or its range does not permit that beta.
    """
    laws, changed = laws_of(node), {}
    for word, beta in betas.items():
        for name in matching(word, laws, where):
            for step, transform in joint_steps(node):
                own = _betas(transform)
                kind, quantity = name.split('.')
                if type_name(step) != kind or quantity not in own:
                    continue
                if _is_left_out(word, own[quantity], laws[name]):
                    continue
                own[quantity] = beta
                value = beta if len(own) == 1 else own
                step[transform.beta_argument] = value
            changed[name] = beta
    for _ in joint_steps(node):  # building an augmentation raises if its beta is not allowed
        pass
    return changed


def steered_quantities(
    views: Sequence[JointView], words: Sequence[str], where: str
) -> list[JointQuantity]:
    """Return the quantities whose betas ``set_betas`` would set, in views that are built.

    Args:
        views (Sequence[JointView]): The views.
        words (Sequence[str]): Names as the keys of ``set_betas``, among them ``OWN``.
        where (str): The config's name, for messages.

    Returns:
        list[JointQuantity]: The quantities themselves; their laws may be replaced at any time.

    Raises:
        ValueError: The views have none of that name.
    """
    pipelines = [pipeline for view in views for pipeline in pipelines_of(view)]
    joint = [
        (type(transform).__name__, transform)
        for pipeline in pipelines
        for transform in pipeline
        if isinstance(transform, JointTransform)
    ]
    laws = _laws(joint)
    found: dict[int, JointQuantity] = {}
    for word in words:
        names = matching(word, laws, where)
        for kind, transform in joint:
            for quantity in transform.joint:
                name = f'{kind}.{quantity.name}'
                if name in names and not _is_left_out(word, quantity.law.beta, laws[name]):
                    found[id(quantity)] = quantity
    return list(found.values())


def _is_left_out(word: str, beta: float | None, all_betas: Sequence[float | None]) -> bool:
    """Whether a beta without a name leaves a place as it is: what is independent, if others are
    joint."""
    return word == OWN and beta is None and any(other is not None for other in all_betas)


def _betas(transform: JointTransform) -> Betas:
    laws = {quantity.name: quantity.law for quantity in transform.joint}
    return {
        name: law.beta for name, law in laws.items() if law is not None and hasattr(law, 'beta')
    }
