"""The joint quantities that views declare, and how much the two views of a pair differ in them."""

from collections.abc import Sequence
from typing import Any

from ..transforms import JointView
from ..transforms.base import Box, Declaration, JointParams, JointQuantity
from ..transforms.joint_view import pipelines_of


def declarations_of(views: JointView) -> list[Declaration]:
    """Return the transforms of the views that declare joint quantities, in pipeline order."""
    transforms = [transform for pipeline in pipelines_of(views) for transform in pipeline]
    return [t for t in transforms if isinstance(t, Declaration) and t.joint]


def quantities_of(views: JointView) -> dict[str, JointQuantity]:
    """Return the joint quantities of the views.

    Args:
        views (JointView): The views; stock transforms are wrapped in the adapters of
            ``pairs.stock``.

    Returns:
        dict[str, JointQuantity]: Maps names to quantities, in the order of the pipelines. If
        several transforms declare a quantity, the first declaration counts.

    Raises:
        ValueError: Two transforms declare different quantities under one name.
    """
    found: dict[str, JointQuantity] = {}
    owners: dict[str, str] = {}
    for transform in declarations_of(views):
        for quantity in transform.joint:
            known = found.setdefault(quantity.name, quantity)
            owner = owners.setdefault(quantity.name, type(transform).__name__)
            if (known.title, known.space) != (quantity.title, quantity.space):
                raise ValueError(
                    f'{owner} and {type(transform).__name__} both declare a quantity '
                    f'{quantity.name!r}, {known.title} ({known.space}) and {quantity.title} '
                    f'({quantity.space}): one of them needs another name'
                )
    return found


def record_of(quantity: JointQuantity, records: Sequence[tuple[str, Any]]) -> JointParams | None:
    """Return the first record of a view that has a value for a quantity; None if there is none.

    Args:
        quantity (JointQuantity): The quantity.
        records (Sequence[tuple]): The view's ``view_params``.
    """
    for _, record in records:
        if isinstance(record, JointParams) and quantity.declared_by(record):
            return record
    return None


def box_of(records: Sequence[tuple[str, Any]]) -> Box | None:
    """Return the part of the image that a view shows, as ``JointParams.box``; None if unknown.

    Args:
        records (Sequence[tuple]): The view's ``view_params``.
    """
    boxes = (record.box() for _, record in records if isinstance(record, JointParams))
    return next((box for box in boxes if box is not None), None)


def pair_differences(
    first: Sequence[tuple[str, Any]],
    second: Sequence[tuple[str, Any]],
    quantities: dict[str, JointQuantity],
    done: bool = False,
) -> dict[str, float]:
    """Return how much the views of a pair differ in the quantities that both underwent.

    Args:
        first, second (Sequence[tuple]): The views' ``view_params``.
        quantities (dict[str, JointQuantity]): As documented in ``quantities_of``.
        done (bool): Whether to compare what was carried out instead of what was drawn. Defaults to
            False.

    Returns:
        dict[str, float]: Maps the name of a quantity to its t: the natural logarithm of the ratio,
        or the difference, of view 2 to view 1.
    """
    differences = {}
    for name, quantity in quantities.items():
        a, b = record_of(quantity, first), record_of(quantity, second)
        if a is not None and b is not None:
            t = quantity.compare(a, b, done)
            if t is not None:
                differences[name] = t
    return differences
