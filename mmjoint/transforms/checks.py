"""Checks of arguments and images that several transforms share."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def check_same_size(name: str, drawn: Sequence[int], img: np.ndarray) -> None:
    """Raise ValueError if a box was drawn on an image of another size than this view has."""
    if img.shape[:2] != tuple(drawn):
        raise ValueError(
            f'{name} drew a box on an image of shape {tuple(drawn)} (height, width), but this view '
            f'is {img.shape[:2]}: both views of a pair must have the same size, so nothing before '
            f'{name} may give them different sizes'
        )


def check_probability(name: str, prob: Any) -> float:
    """Return ``prob`` as a float; raise ValueError naming ``name`` unless it lies in [0, 1]."""
    if isinstance(prob, bool) or not isinstance(prob, (int, float)) or not 0 <= prob <= 1:
        raise ValueError(f'{name} must be a probability in [0, 1], got {prob!r}')
    return float(prob)


def check_probabilities(name: str, prob: Any) -> tuple[float, float]:
    """Return a probability for both views, or one for each, as two floats.

    Raises:
        ValueError: ``prob`` is not one or two probabilities; the message names ``name``.
    """
    probs = prob if isinstance(prob, (list, tuple)) else (prob, prob)
    if len(probs) != 2:
        raise ValueError(f'{name} must be one probability or one per view, got {prob!r}')
    return check_probability(name, probs[0]), check_probability(name, probs[1])


def check_range(name: str, limits: Any) -> tuple[float, float]:
    """Return ``limits`` as two floats; raise ValueError naming ``name`` unless 0 < low <= high."""
    try:
        low, high = (float(limit) for limit in limits)
    except (TypeError, ValueError):
        raise ValueError(f'{name} must be two numbers (low, high), got {limits!r}') from None
    if not 0 < low <= high < float('inf'):
        raise ValueError(f'{name} must hold 0 < low <= high, got {limits!r}')
    return low, high
