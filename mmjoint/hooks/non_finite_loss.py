"""Stops a run whose loss is no longer finite, and names the images that caused it."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook, RuntimeInfoHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmpretrain.models import SimCLR
from torch import Tensor, nn

from ..utils.files import write_output
from ..utils.models import unwrapped
from .draws import seed_of_draws


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Raise at a NaN or infinite loss, before a checkpoint with damaged weights is saved.

    The state of the run is saved as ``non_finite_loss.json`` in the work directory (with the
    process's number in its name if there are several): iteration, epoch, losses, the images of the
    batch, and, if they can be told apart, the images with which the fault started. For that the
    hook records which rows of the batch are finite in the model's input, in the projections, in the
    inputs and outputs of the head's modules, and in the gradients of both. It never waits for the
    GPU. ``seed`` and ``draws`` in the file are what ``tools/browse_views.py --replay`` takes to
    show the views of these images.

    Args:
        interval (int): Number of iterations between two checks. mmengine brings every loss to the
            CPU in each iteration to log it; the hook checks those values. Defaults to 1.

    Raises:
        FloatingPointError: In the iteration of the first check that finds such a loss; the message
            names the loss, the iteration and the images.

    Examples:
        >>> custom_hooks = [dict(type='NonFiniteLossHook')]
    """

    # Runs before the hooks that save (VERY_LOW) and log (BELOW_NORMAL).
    priority = 'VERY_HIGH'

    def __init__(self, interval: int = 1) -> None:
        if not isinstance(interval, int) or interval < 1:
            raise ValueError(
                f'NonFiniteLossHook: interval must be a positive integer, got {interval!r}'
            )
        self.interval = interval
        # Which rows are finite, in the order in which the step makes them, and whether they are the
        # rows of all processes, as SimCLR's head gets them.
        self._rows: list[tuple[Tensor, bool]] = []
        self._simclr = False
        self._behind_log = False
        self._handles: list = []

    def before_train(self, runner: Runner) -> None:
        """Start recording which rows are finite."""
        model = unwrapped(runner.model)
        self._simclr = isinstance(model, SimCLR)
        hooks = runner.hooks[: runner.hooks.index(self)]
        self._behind_log = any(isinstance(hook, RuntimeInfoHook) for hook in hooks)
        modules: dict[nn.Module, Callable] = {}
        if isinstance(getattr(model, 'data_preprocessor', None), nn.Module):
            modules[model.data_preprocessor] = self._note_inputs
        projection = getattr(model, 'neck', None) or getattr(model, 'backbone', None)
        if isinstance(projection, nn.Module):
            modules[projection] = self._note_projections
        if isinstance(getattr(model, 'head', None), nn.Module):
            modules.update(dict.fromkeys(model.head.modules(), self._note_head))
        self._handles = [module.register_forward_hook(note) for module, note in modules.items()]

    def after_train(self, runner: Runner) -> None:
        """Stop recording."""
        for handle in self._handles:
            handle.remove()
        self._rows.clear()

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        """Forget the previous iteration."""
        self._rows.clear()

    def _note_inputs(self, module: nn.Module, args: tuple, output: dict) -> None:
        if isinstance(output, dict):
            self._note(output.get('inputs'))

    def _note_projections(self, module: nn.Module, args: tuple, output: Sequence) -> None:
        self._note(output)
        self._note_gradients(output)

    def _note_head(self, module: nn.Module, args: tuple, output: Tensor | Sequence) -> None:
        self._note([args, output], gathered=self._simclr)
        if not self._simclr:
            self._note_gradients(output)

    def _note_gradients(self, output: Tensor | Sequence) -> None:
        for tensor in _tensors(output):
            if tensor.requires_grad:
                tensor.register_hook(self._note)

    def _note(self, value: object, gathered: bool = False) -> None:
        for tensor in _tensors(value):
            if tensor.ndim and tensor.is_floating_point():
                sums = tensor.detach().reshape(len(tensor), -1).sum(1, dtype=torch.float32)
                self._rows.append((sums.isfinite(), gathered))

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Check all losses of the iteration."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        losses = {
            name: self._read(runner, name, value)
            for name, value in (outputs or {}).items()
            if 'loss' in name
        }
        wrong = [f'{name} {value}' for name, value in losses.items() if not math.isfinite(value)]
        if wrong:
            batch = _image_names(data_batch)
            rows = self._first_rows(len(batch))
            images = [batch[i] for i in rows]
            known = [getattr(sample, 'draw', None) for sample in _samples(data_batch)]
            of_rows = [known[i] for i in rows or range(len(known))]
            draws = [draw for draw in of_rows if draw is not None]
            path = self._save(runner, losses, images, batch, draws)
            raise FloatingPointError(
                f'non-finite loss in iteration {runner.iter + 1} (epoch {runner.epoch + 1}): '
                f'{", ".join(wrong)}; {_tell(images, len(batch))}{path} has all of it'
                f'{_tell_draws(runner, draws)}; a lower '
                'learning rate, a longer warm-up or gradient clipping may help'
            )

    def _read(self, runner: Runner, name: str, value: Tensor | float) -> float:
        """Return a loss as mmengine has just read it for its log; otherwise read it."""
        if isinstance(value, Tensor) and self._behind_log:
            return float(runner.message_hub.get_scalar(f'train/{name}').current())
        return value.item() if isinstance(value, Tensor) else value

    def _first_rows(self, num: int) -> list[int]:
        """Return the images whose rows became non-finite first; none if all rows did."""
        rank, world_size = get_dist_info()
        for finite, gathered in self._rows:
            if finite.all() or not num:
                continue
            if gathered:
                finite = finite.chunk(world_size)[rank]
            views, rest = divmod(len(finite), num)
            if rest or not views:
                continue
            # SimCLR's rows hold the views of one image after the other; all others one view at a
            # time.
            rows = (~finite).nonzero()[:, 0].tolist()
            images = sorted({row // views if self._simclr else row % num for row in rows})
            return images if len(images) < num else []
        return []

    @staticmethod
    def _save(
        runner: Runner, losses: dict, images: list[str], batch: list[str], draws: list[str]
    ) -> Path:
        rank, world_size = get_dist_info()
        name = f'non_finite_loss_{rank}.json' if world_size > 1 else 'non_finite_loss.json'
        path = Path(runner.work_dir, name)
        facts = dict(
            iteration=runner.iter + 1,
            epoch=runner.epoch + 1,
            losses={name: str(value) for name, value in losses.items()},
            images=images,
            batch=batch,
            seed=seed_of_draws(runner),
            draws=draws,
        )
        write_output(path, json.dumps(facts, indent=2) + '\n')
        return path


def _tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


def _image_names(data_batch: dict | tuple | list | None) -> list[str]:
    """Return the names of a batch's images: their files, or their indices in the data set."""
    return [
        str(getattr(sample, 'img_path', f'image {getattr(sample, "sample_idx", "?")}'))
        for sample in _samples(data_batch)
    ]


def _samples(data_batch: dict | tuple | list | None) -> Sequence:
    return (data_batch.get('data_samples') if isinstance(data_batch, dict) else None) or []


def _tell_draws(runner: Runner, draws: list[str]) -> str:
    """Say how to see the views."""
    if not draws:
        return ''
    words = ' '.join(draws[:3])
    seed = seed_of_draws(runner)
    return f'; tools/browse_views.py CONFIG --replay {words} --seed {seed} shows the views'


def _tell(images: list[str], num: int) -> str:
    if images:
        more = f' and {len(images) - 3} more' if len(images) > 3 else ''
        return f'it started with {", ".join(images[:3])}{more}; '
    return f'it was in all {num} images of the batch at once; ' if num else ''
