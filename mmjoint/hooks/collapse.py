"""Detects a collapse of the features while it happens."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.model import BaseAveragedModel
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from ..utils.models import unwrapped
from .non_finite_loss import NonFiniteLossHook

# Number of values of an image by which it is told apart from the others of its batch.
_SIGNATURE = 64


@HOOKS.register_module()
class CollapseHook(Hook):
    """Measure how different the features of different images are, and warn if they collapse.

    The features are the projections (the neck's output) of the training step itself, so there is no
    extra pass and no effect on the run. They are normalized to length 1. Logged under
    ``collapse/``:

    - ``std``: standard deviation over the batch, averaged over the channels, times sqrt(dim): 1 for
      features spread evenly over the sphere, 0 for equal ones (SimSiam, arXiv 2011.10566, figure 2,
      where the even spread is 1 / sqrt(dim)).
    - ``positive``, ``negative``: mean cosine similarity of the two views of an image, and of
      different images. Their difference is what a method learns.
    - ``directions``: the effective number of directions of the features, 1 / mean squared cosine of
      different images: 1 if all lie on one line (batch normalization can hide such a collapse from
      ``std``), at most dim.

    A collapse is reported if ``directions`` is below ``min_directions`` for ``patience``
    iterations, in at least three measurements, without growing, after it has been above twice that
    value. (A healthy SimCLR can pass through 1.3 for a few of its first iterations.) The features
    of an untrained network can be close together too (1.04 at the start of MoCo v2), and a healthy
    run separates them; so features that have never been separate are judged only after ``grace``
    iterations. A ``std`` below 0.1 implies ``directions`` below 1.02, so one bound is enough.

    The hook works with any algorithm that has a ``backbone`` and a ``neck``: SimCLR, BYOL, MoCo v1
    to v3, SimSiam, DINO, LeOCLR, wrapped for several processes or not. If a view passes only
    through the averaged copy of the encoder (MoCo), its features are taken from there. The pixels
    tell which row belongs to which image, so shuffled batches do no harm. The run also stops at a
    non-finite loss: ``NonFiniteLossHook`` is added if the config does not have it.

    Args:
        interval (int): Iterations between two measurements. Defaults to 20. The last iteration of
            each epoch is measured too.
        min_directions (float): Bound of ``directions``, above 1. Defaults to 1.5.
        patience (int): Number of iterations that make a collapse. Defaults to 50.
        grace (int): Iterations before features that have never been separate are judged. Defaults
            to 1000.

    Raises:
        ValueError: An argument is out of its range, or the model has neither backbone nor neck.

    Examples:
        >>> custom_hooks = [dict(type='CollapseHook')]
    """

    # Runs before the hook that logs (BELOW_NORMAL).
    priority = 'NORMAL'

    def __init__(
        self,
        interval: int = 20,
        min_directions: float = 1.5,
        patience: int = 50,
        grace: int = 1000,
    ) -> None:
        for name, value, low in (
            ('interval', interval, 1),
            ('patience', patience, 1),
            ('grace', grace, 0),
        ):
            if not isinstance(value, int) or value < low:
                raise ValueError(
                    f'CollapseHook: {name} must be an integer of at least {low}, got {value!r}'
                )
        if not 1 < min_directions < math.inf:
            raise ValueError(
                f'CollapseHook: min_directions must be above 1, got {min_directions!r}'
            )
        self.interval = interval
        self.min_directions = min_directions
        self.patience = patience
        self.grace = grace
        self.collapsed = False
        self._were_apart = False
        self._low: list[tuple[int, float]] = []
        self._recorder: Recorder | None = None

    def before_train(self, runner: Runner) -> None:
        """Check the model, and ensure that a non-finite loss stops the run."""
        encoder_parts(_inner_model(runner))
        if not any(isinstance(hook, NonFiniteLossHook) for hook in runner.hooks):
            runner.register_hook(NonFiniteLossHook())

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        """Record the encoders in this iteration if it is to be measured."""
        last = batch_idx + 1 == len(runner.train_dataloader)
        if last or self.every_n_train_iters(runner, self.interval):
            self._recorder = Recorder(_inner_model(runner))

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Measure, log and judge."""
        if self._recorder is None:
            return
        recorder, self._recorder = self._recorder, None
        recorder.remove()
        values = feature_spread(recorder.pairs())
        for name, value in values.items():
            runner.message_hub.update_scalar(f'train/collapse/{name}', value)
        if 'std' in values:
            self._judge(runner, values)

    def _judge(self, runner: Runner, values: dict[str, float]) -> None:
        low = values['directions'] < self.min_directions
        apart = values['directions'] > 2 * self.min_directions
        self._were_apart |= apart
        # The number of directions above the one direction that equal features have.
        self._low = [*self._low, (runner.iter, values['directions'] - 1)] if low else []
        lasting = len(self._low) > 2 and runner.iter - self._low[0][0] >= self.patience
        if lasting:
            before = max(value for _, value in self._low[:-1])
            lasting = self._low[-1][1] <= 1.25 * before
        judged = self._were_apart or runner.iter + 1 > self.grace
        where = f'iteration {runner.iter + 1} (epoch {runner.epoch + 1})'
        told = ', '.join(f'{name} {value:.3g}' for name, value in values.items())
        if lasting and judged and not self.collapsed:
            self.collapsed = True
            runner.logger.warning(
                f'CollapseHook: the features have collapsed at {where}: {told}. Different images '
                f'get features on one line (directions below {self.min_directions}; a std of 1 is '
                'an even spread): look for a missing stop-gradient, predictor or momentum update, '
                'or too high a learning rate'
            )
        elif self.collapsed and apart:
            self.collapsed = False
            runner.logger.info(f'CollapseHook: the features have spread again at {where}: {told}')


@torch.no_grad()
def feature_spread(pairs: tuple[Tensor, Tensor] | None) -> dict[str, float]:
    """Measure the spread of features over all processes.

    Args:
        pairs (tuple[Tensor, Tensor], optional): Features of view 1 and of view 2, both (N, C), each
            row from the same image; rows that are not known hold NaN. None if there are none.

    Returns:
        dict[str, float]: ``std``, ``positive``, ``negative`` and ``directions`` as documented in
        ``CollapseHook``, without those that cannot be computed.
    """
    # Sums and counts of: std, positive cosines, negative cosines and their squares. Rows are left
    # out by weights and not by indexing, which would need their number on the host.
    device = pairs[0].device if pairs is not None else 'cpu'
    sums = torch.zeros(6, dtype=torch.float64, device=device)
    if pairs is not None:
        known, both = pairs[0].isfinite().all(1), pairs[1].isfinite().all(1)
        both &= known
        first, second = (F.normalize(z.double(), dim=1) for z in pairs)
        first = torch.where(known[:, None], first, 0.0)
        weights = known.double()
        num = weights.sum()
        spread = (first - first.sum(0) / num).square() * weights[:, None]
        std = (spread.sum(0) / num).sqrt().mean() * math.sqrt(first.shape[1])
        positive = torch.where(both, (first * second).sum(1), 0.0)
        others = (weights[:, None] * weights).fill_diagonal_(0)
        cosines = first @ first.T
        negative, squares = (
            (value * others).sum() / (num - 1) for value in (cosines, cosines.square())
        )
        sums = torch.stack([std * num, num, positive.sum(), both.sum(), negative, squares])
        sums = torch.where(num > 1, sums, 0.0)
    all_reduce(sums)
    std, num, positive, num_positive, negative, squares = sums.tolist()
    values = {}
    if num:
        values['std'] = std / num
        if num_positive:
            values['positive'] = positive / num_positive
        values['negative'] = negative / num
        values['directions'] = num / max(squares, 1e-12)
    return values


def _inner_model(runner: Runner) -> nn.Module:
    return unwrapped(runner.model)


def encoder_parts(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Return the part of a model that takes images and the part that returns features."""
    backbone = getattr(model, 'backbone', None)
    if backbone is None:
        raise ValueError(
            f'CollapseHook: {type(model).__name__} has no backbone whose features to watch'
        )
    return backbone, getattr(model, 'neck', None) or backbone


class Recorder:
    """Records one training step: which images went in, which features came out.

    Args:
        model (nn.Module): The algorithm, without its wrapper.
    """

    def __init__(self, model: nn.Module) -> None:
        self.views: list[Tensor] = []
        self.calls: list[tuple[list[Tensor], Tensor]] = []
        entry, exit_ = encoder_parts(model)
        encoders = [(entry, exit_)]
        encoders += [(m, m) for m in model.modules() if isinstance(m, BaseAveragedModel)]
        self._handles = [model.register_forward_pre_hook(self._take_views, with_kwargs=True)]
        for entry, exit_ in encoders:
            waiting: list[Tensor] = []
            self._handles += [
                entry.register_forward_pre_hook(self._take_images(waiting)),
                exit_.register_forward_hook(self._take_features(waiting)),
            ]

    def remove(self) -> None:
        """Stop recording."""
        for handle in self._handles:
            handle.remove()

    def _take_views(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        inputs = kwargs['inputs'] if 'inputs' in kwargs else args[0]
        self.views = [inputs] if isinstance(inputs, Tensor) else list(inputs)

    @staticmethod
    def _take_images(waiting: list[Tensor]) -> Callable:
        def hook(module: nn.Module, args: tuple) -> None:
            if args and isinstance(args[0], Tensor):
                waiting.append(_signature(args[0]))

        return hook

    def _take_features(self, waiting: list[Tensor]) -> Callable:
        def hook(module: nn.Module, args: tuple, output: Any) -> None:
            while isinstance(output, (tuple, list)):
                output = output[-1]
            output = output.detach()
            if output.ndim == 4:
                output = output.mean((2, 3))
            if output.ndim == 2 and sum(map(len, waiting)) == len(output):
                self.calls.append((list(waiting), output))
            waiting.clear()

        return hook

    def pairs(self) -> tuple[Tensor, Tensor] | None:
        """Return the features of the first two views of each image that has both.

        Returns:
            tuple[Tensor, Tensor] | None: Features in the form that ``feature_spread`` takes.
        """
        found = self._matches()
        views = [_join(matches) for matches in found if matches]
        if not views:
            return None
        first = views[0]
        # Features of another width belong to another space and cannot be compared.
        second = next((v for v in views[1:] if v.shape == first.shape), first * math.nan)
        return first, second

    def _matches(self) -> list[list[tuple[Tensor, Tensor]]]:
        """Find the forward passes to which the images of each view belong.

        Returns:
            list[list[tuple[Tensor, Tensor]]]: For each view and each pass that had any of its
            images: a mask of which image of the view (rows) is which image of the pass (columns),
            and the pass's features.
        """
        found = []
        for number, view in enumerate(self.views):
            images = _signature(view)
            for signatures, output in self.calls:
                parts = output.split([len(rows) for rows in signatures])
                for rows, part in zip(signatures, parts, strict=True):
                    if rows.shape[1] == images.shape[1]:
                        same = (images[:, None] == rows[None]).all(2)
                        found.append((number, same, part.float()))
        if not found:
            return []
        some = torch.stack([same.any() for _, same, _ in found]).tolist()  # one read for all
        matches: list[list] = [[] for _ in self.views]
        for (number, same, part), any_same in zip(found, some, strict=True):
            if any_same:
                matches[number].append((same, part))
        return matches


def _join(matches: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the features of a view's images; NaN where there are none."""
    width = matches[0][1].shape[1]
    features = matches[0][1].new_full((len(matches[0][0]), width), math.nan)
    for same, part in matches:
        if part.shape[1] == width:
            missing = same.any(1) & features.isnan().any(1)
            taken = part[same.int().argmax(1)]
            features = torch.where(missing[:, None], taken, features)
    return features


def _signature(images: Tensor) -> Tensor:
    """Return a few values of each image, by which it is recognized, and its size."""
    flat = images.detach().flatten(1)
    places = torch.linspace(0, flat.shape[1] - 1, _SIGNATURE, device=flat.device).long()
    size = [flat.new_full((len(flat), 1), length) for length in images.shape[1:]]
    return torch.cat([flat[:, places], *size], dim=1)
