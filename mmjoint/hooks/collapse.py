"""Sees a collapse of the features while it happens."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.model import BaseAveragedModel, is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from .non_finite_loss import NonFiniteLossHook

# Of an image, how many values tell it from the others of its batch.
_SIGNATURE = 64


@HOOKS.register_module()
class CollapseHook(Hook):
    """Measure how far apart the features of different images are, and warn when they are not.

    The features are the projections (the neck's output) of the training step itself: no pass of
    its own, no effect on the run. They are normalised to length 1. Logged, under ``collapse/``:

    - ``std``: standard deviation over the batch, averaged over the channels, times sqrt(dim): 1 for
      features spread evenly over the sphere, 0 for equal ones (SimSiam, arXiv 2011.10566, figure 2,
      where the even spread is 1 / sqrt(dim)).
    - ``positive``, ``negative``: mean cosine similarity of the two views of an image, and of
      different images. Their difference is what a method learns.
    - ``directions``: the effective number of directions of the features, 1 / mean squared cosine of
      different images: 1 when all lie on one line (batch normalisation can hide such a collapse
      from ``std``), at most dim.

    A collapse is ``directions`` below ``min_directions`` for ``patience`` iterations, in at least
    three measurements, without growth, after it was above twice that. (A healthy SimCLR can pass
    through 1.3 for a few of its first iterations.) The features of an untrained network can be
    close together too (1.04 at the start of MoCo v2), and a healthy run drives them apart; so those
    that were never apart are judged only after ``grace`` iterations. A ``std`` below 0.1 means
    ``directions`` below 1.02, so that the one bound is enough.

    Works with any algorithm that has a ``backbone`` and a ``neck``: SimCLR, BYOL, MoCo v1 to v3,
    SimSiam, DINO, LeOCLR, wrapped for several processes or not; where a view passes only through
    the averaged copy of the encoder (MoCo), its features are taken from there. Which row belongs to
    which image is found from the pixels, so that shuffled batches do no harm. The run also stops at
    a non-finite loss: ``NonFiniteLossHook`` is added where it is not in the config.

    Args:
        interval (int): Iterations between two measurements. Defaults to 20. The last iteration of
            each epoch is measured too.
        min_directions (float): Above 1. Defaults to 1.5.
        patience (int): Iterations that make a collapse. Defaults to 50.
        grace (int): Iterations before features that were never apart are judged. Defaults to 1000.

    Raises:
        ValueError: An argument is out of its range, or the model has neither backbone nor neck.

    Examples:
        >>> custom_hooks = [dict(type='CollapseHook')]
    """

    # Before the hook that logs (BELOW_NORMAL).
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
        self._recorder: _Recorder | None = None

    def before_train(self, runner: Runner) -> None:
        """Check the model; see to it that a non-finite loss stops the run."""
        _encoder_parts(_inner_model(runner))
        if not any(isinstance(hook, NonFiniteLossHook) for hook in runner.hooks):
            runner.register_hook(NonFiniteLossHook())

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        """Listen to the encoders in this iteration if it is one to measure."""
        last = batch_idx + 1 == len(runner.train_dataloader)
        if last or self.every_n_train_iters(runner, self.interval):
            self._recorder = _Recorder(_inner_model(runner))

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
        # Of the directions, what is above the one that equal features have.
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
    """Measure the spread of features, over all processes.

    Args:
        pairs (tuple[Tensor, Tensor], optional): Features of view 1 and of view 2, both (N, C), row
            by row of the same image; rows of view 2 that are not known hold NaN. None for none.

    Returns:
        dict[str, float]: ``std``, ``positive``, ``negative`` and ``directions`` as of
        ``CollapseHook``; without those that cannot be told.
    """
    # Sums and counts of: std, positive cosines, negative cosines and their squares.
    device = pairs[0].device if pairs is not None else 'cpu'
    sums = torch.zeros(6, dtype=torch.float64, device=device)
    if pairs is not None and len(pairs[0]) > 1:
        first, second = (F.normalize(z.double(), dim=1) for z in pairs)
        known = second.isfinite().all(1)
        positive = (first * second).sum(1)[known]
        cosines = first @ first.T
        cosines = cosines[~torch.eye(len(cosines), dtype=torch.bool, device=device)]
        std = first.std(0, correction=0).mean() * math.sqrt(first.shape[1])
        sums = torch.stack(
            [
                std * len(first),
                std.new_tensor(len(first)),
                positive.sum(),
                known.sum().double(),
                cosines.mean() * len(first),
                cosines.square().mean() * len(first),
            ]
        )
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
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _encoder_parts(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Return what images go into and what features come out of, in a model."""
    backbone = getattr(model, 'backbone', None)
    if backbone is None:
        raise ValueError(
            f'CollapseHook: {type(model).__name__} has no backbone whose features to watch'
        )
    return backbone, getattr(model, 'neck', None) or backbone


class _Recorder:
    """Listens to one training step: which images went in, which features came out.

    Args:
        model (nn.Module): The algorithm, without a wrapper.
    """

    def __init__(self, model: nn.Module) -> None:
        self.views: list[Tensor] = []
        self.calls: list[tuple[list[Tensor], Tensor]] = []
        entry, exit_ = _encoder_parts(model)
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
        """Stop listening."""
        for handle in self._handles:
            handle.remove()

    def _take_views(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        inputs = kwargs['inputs'] if 'inputs' in kwargs else args[0]
        self.views = [inputs] if isinstance(inputs, Tensor) else list(inputs)

    @staticmethod
    def _take_images(waiting: list[Tensor]):
        def hook(module: nn.Module, args: tuple) -> None:
            if args and isinstance(args[0], Tensor):
                waiting.append(_signature(args[0]))

        return hook

    def _take_features(self, waiting: list[Tensor]):
        def hook(module: nn.Module, args: tuple, output: Tensor | Sequence) -> None:
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
        """Return the features of the first two views of each image that both have any.

        Returns:
            tuple[Tensor, Tensor] | None: As ``feature_spread`` takes them.
        """
        views = [self._features_of(_signature(view)) for view in self.views]
        views = [view for view in views if view is not None]
        if not views:
            return None
        first = views[0]
        keep = first.isfinite().all(1)
        # Features of another width are of another space: not to be compared.
        second = next((v for v in views[1:] if v.shape == first.shape), first * math.nan)
        return first[keep], second[keep]

    def _features_of(self, images: Tensor) -> Tensor | None:
        """Return the features of the images of one view, NaN where there are none."""
        features = None
        for signatures, output in self.calls:
            start = 0
            for rows in signatures:
                part = output[start : start + len(rows)].float()
                start += len(rows)
                if rows.shape[1] != images.shape[1]:
                    continue
                same = (images[:, None] == rows[None]).all(2)
                if not same.any():
                    continue
                if features is None:
                    features = part.new_full((len(images), part.shape[1]), math.nan)
                if features.shape[1] != part.shape[1]:
                    continue
                missing = same.any(1) & features.isnan().any(1)
                features[missing] = part[same.int().argmax(1)[missing]]
        return features


def _signature(images: Tensor) -> Tensor:
    """Return a few values of each image, by which to know it again, and its size."""
    flat = images.detach().flatten(1)
    places = torch.linspace(0, flat.shape[1] - 1, _SIGNATURE, device=flat.device).long()
    size = flat.new_tensor(images.shape[1:]).expand(len(flat), -1)
    return torch.cat([flat[:, places], size], dim=1)
