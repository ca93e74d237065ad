"""How a beta changes over a training run: by a schedule, or following the model.

Numbers in, numbers out; ``BetaHook`` reads the model and tells the views.
"""

import math
from collections.abc import Sequence

from ..distributions import check_finite

KINDS = ('linear', 'cosine', 'steps')
#: What a model may be held at, and its range.
MEASURES = dict(cosine=(-1, 1), accuracy=(0, 1))


class BetaSchedule:
    """A beta for each epoch that is fixed in advance.

    Args:
        kind (str): ``'linear'`` or ``'cosine'`` (half a cosine, which starts and ends level), from
            one beta to another, or ``'steps'``.
        betas (Sequence[float]): With ``'linear'`` and ``'cosine'`` the first and the last beta;
            with ``'steps'`` one more than there are ``epochs``.
        epochs (Sequence[int], optional): With ``'linear'`` and ``'cosine'`` the epochs, from 0,
            that have the first and the last beta: before and after, it does not change. Defaults to
            None, the first and the last epoch of the run. With ``'steps'`` those that start with
            the second beta, the third ...

    Raises:
        TypeError: An argument has another form.
        ValueError: There is no such kind, a beta is None or not finite, or the numbers of betas and
            epochs do not fit or do not ascend.

    Examples:
        >>> dict(kind='cosine', betas=(2, -1))
        >>> dict(kind='steps', betas=(2, 0, -1), epochs=(30, 60))
    """

    def __init__(
        self, kind: str, betas: Sequence[float], epochs: Sequence[int] | None = None
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f'kind must be one of {KINDS}, got {kind!r}')
        if not isinstance(betas, (list, tuple)):
            raise TypeError(f'betas must be a list of numbers, got {betas!r}')
        self.kind = kind
        self.betas = [_check_beta('betas', beta) for beta in betas]
        steps = kind == 'steps'
        if epochs is None and steps:
            raise ValueError("kind='steps' needs epochs, those that start with the next beta")
        if epochs is not None and not (
            isinstance(epochs, (list, tuple))
            and all(type(epoch) is int and epoch >= 0 for epoch in epochs)
            and list(epochs) == sorted(set(epochs))
        ):
            raise ValueError(f'epochs must be ascending integers from 0, got {epochs!r}')
        self.epochs = None if epochs is None else list(epochs)
        if steps and len(self.betas) != len(epochs or ()) + 1:
            raise ValueError(
                f"kind='steps' needs one more of betas than of epochs, got {betas!r} and {epochs!r}"
            )
        if not steps and (len(self.betas) != 2 or len(epochs or (0, 0)) != 2):
            raise ValueError(
                f'kind={kind!r} needs betas=(first, last), and epochs=(begin, end) or None, got '
                f'{betas!r} and {epochs!r}'
            )

    @property
    def extremes(self) -> tuple[float, float]:
        """The smallest and the largest beta."""
        return min(self.betas), max(self.betas)

    def at(self, epoch: int, max_epochs: int) -> float:
        """Compute the beta of an epoch.

        Args:
            epoch (int): The epoch, from 0.
            max_epochs (int): Number of epochs of the run.
        """
        if self.kind == 'steps':
            return self.betas[sum(epoch >= start for start in self.epochs or ())]
        begin, end = self.epochs or (0, max(max_epochs - 1, 1))
        share = min(max((epoch - begin) / (end - begin), 0.0), 1.0)
        if self.kind == 'cosine':
            share = (1 - math.cos(math.pi * share)) / 2
        first, last = self.betas
        return first * (1 - share) + last * share


class BetaFollower:
    """Holds the mean cosine similarity of positive pairs, or the accuracy, by changing beta.

    A higher beta makes pairs easier, and so both of them higher. After each epoch beta moves by
    ``gain`` times what the measure lacks, at most by ``step``. It starts to move when the measure
    is off by more than ``tolerance``, and rests when it is within half of that, so that noise does
    not move it.

    Args:
        target (float): The value to hold, in [-1, 1] for a cosine and in [0, 1] for an accuracy.
        bounds (Sequence[float]): The smallest and the largest beta.
        start (float, optional): The beta of the first epoch. Defaults to None, the middle of the
            bounds.
        tolerance (float): How far off the measure may be, above 0. Defaults to 0.01.
        gain (float): Change of beta per missing cosine or accuracy, above 0. Defaults to 20.0.
        step (float): Largest change of beta after an epoch, above 0. Defaults to 1.0.
        measure (str): ``'cosine'``, or ``'accuracy'``, the share of the samples whose positive has
            the highest score in a contrastive loss. Defaults to ``'cosine'``.

    Raises:
        TypeError: An argument has another form.
        ValueError: An argument is outside the range given above, or the bounds are reversed.

    Examples:
        >>> dict(target=0.6, bounds=(-4, 4))
    """

    def __init__(
        self,
        target: float,
        bounds: Sequence[float],
        start: float | None = None,
        tolerance: float = 0.01,
        gain: float = 20.0,
        step: float = 1.0,
        measure: str = 'cosine',
    ) -> None:
        if measure not in MEASURES:
            raise ValueError(f'measure must be one of {tuple(MEASURES)}, got {measure!r}')
        self.measure = measure
        self.target = check_finite('target', target)
        least, most = MEASURES[measure]
        if not least <= self.target <= most:
            raise ValueError(
                f'target must be in [{least}, {most}] for measure={measure!r}, got {target!r}'
            )
        if not isinstance(bounds, (list, tuple)) or len(bounds) != 2:
            raise TypeError(f'bounds must be two numbers (low, high), got {bounds!r}')
        self.low, self.high = (_check_beta('bounds', beta) for beta in bounds)
        if not self.low < self.high:
            raise ValueError(
                f'bounds must be the smallest and the largest beta (low, high), got {bounds!r}'
            )
        self.start = (self.low + self.high) / 2 if start is None else check_finite('start', start)
        if not self.low <= self.start <= self.high:
            raise ValueError(f'start must be within bounds={bounds!r}, got {start!r}')
        numbers = dict(tolerance=tolerance, gain=gain, step=step)
        for name, value in numbers.items():
            numbers[name] = check_finite(name, value)
            if not numbers[name] > 0:
                raise ValueError(f'{name} must be above 0, got {value!r}')
        self.tolerance, self.gain, self.step = numbers.values()

    @property
    def extremes(self) -> tuple[float, float]:
        """The smallest and the largest beta."""
        return self.low, self.high

    def next(self, beta: float, measured: float, moving: bool) -> tuple[float, bool]:
        """Compute the beta of the next epoch.

        Args:
            beta (float): The beta of the epoch.
            measured (float): The mean of the measure in it.
            moving (bool): What this returned for the epoch before; False for the first.

        Returns:
            tuple[float, bool]: The beta, and whether it moves.
        """
        lacks = self.target - measured
        moving = abs(lacks) > (self.tolerance / 2 if moving else self.tolerance)
        if not moving:
            return beta, False
        change = min(max(self.gain * lacks, -self.step), self.step)
        return min(max(beta + change, self.low), self.high), True


def _check_beta(name: str, beta: float | None) -> float:
    if beta is None:
        raise ValueError(
            f'{name}: None, independent draws, is not a number that a beta could change to or from'
        )
    return check_finite(name, beta)
