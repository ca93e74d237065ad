"""The training schedules of the detectors: the published ones, and small ones for a CPU."""

from dataclasses import dataclass, field, replace
from typing import Any

from ..schedules import Schedule
from .models import ModelSettings

_SMALL_MODEL: dict[str, Any] = dict(
    # The usual anchors are eight times a level's stride and fit a short side of 800 pixels.
    anchor_sizes=(8, 16, 32, 64, 128),
    fpn_channels=128,
    head_channels=256,
    rpn_batch=64,
    roi_batch=64,
    proposals=(500, 200),
    test_proposals=(300, 200),
    roi_samples=1,
    roi_scale=112,
)


@dataclass(frozen=True)
class Recipe:
    """A schedule and the sizes of its images; the defaults are detectron2's for FPN.

    Args:
        iterations (int): Number of training batches.
        steps (tuple[int, ...]): Iterations at which the learning rate falls to a tenth.
        short_sides (tuple[int, ...]): Lengths in pixels; one is drawn for each training image.
        test_short_side (int): Length in pixels.
        max_side (int): Limit of the long side in pixels.
        batch_size (int): Images per batch, over all processes.
        lr (float): Learning rate for that batch size; it scales with another batch size.
        warmup (int): Number of iterations over which the rate rises from a thousandth.
        optimizer (str): ``'sgd'``, with momentum 0.9, or ``'adamw'``.
        weight_decay (float): Weight decay of all parameters except those of batch norm.
        precise_bn (int): Number of training batches over which batch norm's statistics are averaged
            before testing.
        test_batch_size (int): Images per test batch; more than 1 is only for images of one size.
        model (ModelSettings): The parts built on the backbone.
    """

    iterations: int
    steps: tuple[int, ...]
    short_sides: tuple[int, ...]
    test_short_side: int = 800
    max_side: int = 1333
    batch_size: int = 16
    lr: float = 0.02
    warmup: int = 1000
    optimizer: str = 'sgd'
    weight_decay: float = 1e-4
    precise_bn: int = 200
    test_batch_size: int = 1
    model: ModelSettings = field(default_factory=ModelSettings)

    def lr_at(self, iteration: int) -> float:
        """Return the learning rate of an iteration, from 0."""
        lr = self.lr * 0.1 ** sum(iteration >= step for step in self.steps)
        if iteration < self.warmup:
            share = iteration / self.warmup
            lr *= 0.001 * (1 - share) + share
        return lr

    def scheduled(self, schedule: Schedule) -> 'Recipe':
        """Return the recipe with the length, batches, rates and image sizes of a schedule."""
        names = ['iterations', 'steps', 'warmup', 'batch_size', 'lr', 'precise_bn']
        if schedule.short_sides:
            names += ['short_sides', 'test_short_side', 'max_side']
        return replace(self, **{name: getattr(schedule, name) for name in names})


RECIPES = {
    # MoCo's recipe for VOC07+12, which the paper uses (24k iterations, short sides of 480 to 800).
    'voc': Recipe(
        iterations=24000,
        steps=(18000, 22000),
        warmup=100,
        short_sides=tuple(range(480, 801, 32)),
    ),
    # detectron2's 1x schedule.
    'coco': Recipe(
        iterations=90000,
        steps=(60000, 80000),
        short_sides=tuple(range(640, 801, 32)),
        model=ModelSettings(masks=True),
    ),
    # Few iterations on small images, where AdamW gets further than SGD. Not a published recipe.
    'voc-small': Recipe(
        iterations=400,
        steps=(300, 370),
        warmup=20,
        batch_size=4,
        lr=1e-3,
        optimizer='adamw',
        weight_decay=0.05,
        short_sides=(128, 160, 192),
        test_short_side=160,
        max_side=320,
        precise_bn=20,
        model=ModelSettings(**_SMALL_MODEL),
    ),
    'coco-small': Recipe(
        iterations=400,
        steps=(300, 370),
        warmup=20,
        batch_size=4,
        lr=1e-3,
        optimizer='adamw',
        weight_decay=0.05,
        short_sides=(128, 160, 192),
        test_short_side=160,
        max_side=320,
        precise_bn=20,
        model=ModelSettings(masks=True, **_SMALL_MODEL),
    ),
    # The embedded scenes, 64 x 64 pixels with one to three objects. Enlarged, and in small batches,
    # a minute shows that a backbone is pretrained; at 64 pixels in batches of 16 it did not.
    'scenes': Recipe(
        iterations=300,
        steps=(230, 280),
        warmup=10,
        batch_size=8,
        lr=1e-3,
        optimizer='adamw',
        weight_decay=0.05,
        short_sides=(96,),
        test_short_side=96,
        max_side=96,
        precise_bn=20,
        test_batch_size=25,
        model=ModelSettings(
            anchor_sizes=(21, 30, 42, 57, 78),
            fpn_channels=64,
            head_channels=256,
            rpn_batch=32,
            roi_batch=32,
            proposals=(100, 64),
            test_proposals=(100, 50),
            roi_samples=1,
            roi_scale=168,
        ),
    ),
}
