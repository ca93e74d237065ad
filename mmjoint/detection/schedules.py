"""How long a detector is trained on data of any size: schedules by name, of all engines."""

import argparse
from dataclasses import dataclass
from typing import Any

# COCO's 1x, which the other numbers are fractions of: 12 passes over train2017.
_ITERATIONS, _BATCH, _LR, _PHOTOS, _WARMUP = 90000, 16, 0.02, 118287, 1000
SCHEDULES = ('small', '1x', '2x', '3x')


@dataclass(frozen=True)
class Schedule:
    """Length, batches and rates of a training.

    Args:
        name (str): One of ``SCHEDULES``.
        iterations (int): Batches that are trained on.
        steps (tuple[int, ...]): Iterations at which the learning rate falls to a tenth.
        warmup (int): Iterations over which it rises from a thousandth.
        batch_size (int): Images per batch, over all processes.
        lr (float): Learning rate of SGD with momentum 0.9.
        short_sides (tuple[int, ...]): In pixels, one drawn for each training image; empty
            for the recipe's own sizes, test and long side included. Defaults to ().
        test_short_side (int): In pixels. Defaults to 0.
        max_side (int): Limit of the long side in pixels. Defaults to 0.
    """

    name: str
    iterations: int
    steps: tuple[int, ...]
    warmup: int
    batch_size: int
    lr: float
    short_sides: tuple[int, ...] = ()
    test_short_side: int = 0
    max_side: int = 0

    @property
    def precise_bn(self) -> int:
        """Batches over which batch norm's statistics are averaged: 200, or all of a short one."""
        return min(200, self.iterations)

    @property
    def checkpoint_interval(self) -> int:
        """Iterations between two checkpoints: a 20th of all."""
        return max(1, self.iterations // 20)

    def __str__(self) -> str:
        return (
            f'schedule {self.name}: {self.iterations} iterations of {self.batch_size} images, '
            f'rate {self.lr:g} after a warm-up of {self.warmup}, lower from '
            f'{" and ".join(map(str, self.steps))} on'
        )


def make_schedule(
    name: str, photos: int, processes: int = 1, batch_size: int | None = None
) -> Schedule:
    """Fit a schedule to the number of photos.

    ``'1x'`` passes over the photos as often as detectron2's 1x over COCO's (12.2 times), ``'2x'``
    and ``'3x'`` twice and three times as often, in batches of 16. ``'small'`` is for some tens to
    some thousands of photos, which need more passes: 60, in batches of 4 and in images with a short
    side of 400 to 512 pixels, but 6,000 images at least; above 800 photos 48,000 images, and never
    fewer passes than 1x. Nobody has published it.

    Args:
        name (str): One of ``SCHEDULES``.
        photos (int): Of the training set.
        processes (int): The batch becomes a multiple of them. Defaults to 1.
        batch_size (int, optional): The learning rate goes with it, the number of images trained on
            stays. Defaults to None, that of the schedule.

    Raises:
        ValueError: There is no such schedule.
    """
    if name not in SCHEDULES:
        raise ValueError(f'schedule is {name!r}; expected one of {", ".join(SCHEDULES)}')
    once = _ITERATIONS * _BATCH * photos / _PHOTOS
    sides: dict[str, Any] = {}
    if name == 'small':
        total, batch = max(6000, min(60 * photos, 48000), once), 4
        sides = dict(short_sides=(400, 432, 464, 496, 512), test_short_side=480, max_side=800)
    else:
        total, batch = int(name[0]) * once, _BATCH
    batch = batch_size or -(-batch // processes) * processes
    iterations = max(1, round(total / batch))
    # 1x and 2x fall at two thirds and eight ninths.
    steps = (round(iterations * 2 / 3), round(iterations * 8 / 9))
    return Schedule(
        name,
        iterations,
        steps,
        min(_WARMUP, iterations // 10),
        batch,
        _LR * batch / _BATCH,
        **sides,
    )


def add_schedule_arguments(parser: argparse._ActionsContainer) -> None:
    """Add the arguments that say how long is trained, and how often a table is made meanwhile."""
    parser.add_argument(
        '--schedule',
        choices=SCHEDULES,
        help='fitted to the number of photos: small for some tens to thousands of photos, 1x, 2x, '
        "3x with as many passes as COCO's (default: the recipe's, for the published benchmarks)",
    )
    parser.add_argument(
        '--eval-every',
        type=int,
        default=0,
        metavar='N',
        help='test every N iterations too, for an early table (default: only at the end)',
    )
