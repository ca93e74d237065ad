"""The difficulties of a pair's quantities, drawn together by a Gaussian copula."""

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from ..distributions import JointDistribution
from .base import JointQuantity, JointTransform, PairTransform

_NORMAL = NormalDist()


def quantities_to_couple(pipeline: list) -> Iterator[JointQuantity]:
    """Iterate over the quantities of a group that may have a beta, in the pipeline's order.

    Args:
        pipeline (list): Transform objects.
    """
    for transform in pipeline:
        if isinstance(transform, PairTransform):
            for inner in transform.pipelines:
                yield from quantities_to_couple(inner)
        for quantity in transform.joint if isinstance(transform, JointTransform) else ():
            if isinstance(quantity.law, JointDistribution):
                yield quantity


def check_coupling(rho: Any, groups: Sequence[Sequence[JointQuantity]]) -> None:
    """Raise if quantities cannot be coupled.

    Args:
        rho (float): The correlation.
        groups (Sequence[Sequence[JointQuantity]]): The quantities of each group of views.

    Raises:
        ValueError: rho is not a correlation, or no group has two quantities with a beta.
    """
    if isinstance(rho, bool) or not isinstance(rho, (int, float)) or not -1 <= rho <= 1:
        raise ValueError(f'coupling must be a correlation in [-1, 1] or None, got {rho!r}')
    told = [name for group in groups for name in _with_beta(group)]
    # With beta None everywhere it is the baseline, for which there is nothing to couple.
    baseline = not told and len({quantity.name for group in groups for quantity in group}) > 1
    if not baseline and all(len(_with_beta(group)) < 2 for group in groups):
        raise ValueError(
            f'coupling={rho} needs two quantities with a beta in one group, such as those of '
            f'JointCrop(beta=0) and JointBlur(beta=0); with a beta there is: '
            f'{", ".join(told) or "none"}'
        )


def draw_difficulties(rho: float, quantities: Sequence[JointQuantity]) -> dict[str, float]:
    """Draw the difficulties of a pair.

    Args:
        rho (float): The correlation between the first quantity that has a beta and each later one.
        quantities (Sequence[JointQuantity]): The quantities of the pair's group.

    Returns:
        dict[str, float]: For the name of each quantity with a beta the value, uniform in [0, 1], of
        the distribution function of ``|t|``.
    """
    names = _with_beta(quantities)
    if not names:
        return {}
    leading, *own = np.random.standard_normal(len(names)).tolist()
    rest = math.sqrt(1 - rho**2)
    normals = [leading, *(rho * leading + rest * x for x in own)]
    return {name: _NORMAL.cdf(x) for name, x in zip(names, normals, strict=True)}


def _with_beta(quantities: Sequence[JointQuantity]) -> list[str]:
    """Return the names of the quantities that have a beta, once each."""
    return list(dict.fromkeys(q.name for q in quantities if q.law.beta is not None))
