"""Changes the beta of the views from epoch to epoch."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, broadcast, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor, nn

from ..checkpoints import CheckpointError
from ..pairs.beta_plans import BetaFollower, BetaSchedule
from ..pairs.betas import OWN, steered_quantities
from ..pairs.replay import BETAS_FILE
from ..transforms.draws import set_beta, steer, tie_draws
from ..utils.files import write_output
from ..utils.models import unwrapped
from .collapse import Recorder, feature_spread
from .draws import seed_of_draws
from .pair_stats import joint_views

_KEY = 'beta_hook'


@HOOKS.register_module()
class BetaHook(Hook):
    """Change the beta of the views from epoch to epoch: by a schedule, or following the model.

    With ``schedule`` the beta of each epoch is fixed in advance (``BetaSchedule`` of
    ``pairs.beta_plans``). With ``follow`` it holds the mean cosine similarity of positive pairs, of
    the projections (the neck's output) of the training step itself, or the accuracy of its
    contrastive loss at a target (``BetaFollower``): above it pairs get harder, below it easier.

    The beta is constant within an epoch and travels with the indices of its samples
    (``transforms.draws``), so views follow from seed, epoch, image and the epoch's beta, for any
    number of workers and processes. Checkpoints contain the betas and what has been measured, and
    a resumed run is the uninterrupted one. ``betas.json`` in the work directory has the beta of
    each epoch; ``tools/browse_views.py --replay`` reads it. Logged are ``beta/beta`` and
    ``beta/cosine`` or ``beta/accuracy``, the mean in the epoch before, and one line per change.

    Args:
        schedule (dict, optional): Arguments of ``BetaSchedule``.
        follow (dict, optional): Arguments of ``BetaFollower``; give one of the two.
        names (str | list[str], optional): What is steered, in the words of ``--beta``, such as
            ``'JointCrop'`` or ``['JointCrop', 'JointColor.hue']``; all get the same beta. Defaults
            to None, what the config makes joint.
        interval (int): With ``follow``, iterations between two measurements within an epoch, whose
            last iteration is measured too. Defaults to 5.

    Raises:
        TypeError, ValueError: An argument is not as described here and in the two classes. At the
            start of the run: its loop is not by epoch, its draws cannot be tied to its samples, or
            its views hold no such augmentation or one that does not permit these betas.
        CheckpointError: A run is resumed that was started without this hook.

    Examples:
        >>> custom_hooks = [dict(type='BetaHook', schedule=dict(kind='linear', betas=(2, -1)))]
        >>> custom_hooks = [dict(type='BetaHook', follow=dict(target=0.6, bounds=(-4, 4)))]
    """

    # Runs before the hooks that log (BELOW_NORMAL) and save (VERY_LOW).
    priority = 'NORMAL'

    def __init__(
        self,
        schedule: dict | None = None,
        follow: dict | None = None,
        names: str | Sequence[str] | None = None,
        interval: int = 5,
    ) -> None:
        if (schedule is None) == (follow is None):
            raise ValueError(
                "BetaHook: give one of schedule=dict(kind='linear', betas=(2, -1)) and "
                f'follow=dict(target=0.6, bounds=(-4, 4)), got {schedule!r} and {follow!r}'
            )
        if type(interval) is not int or interval < 1:
            raise ValueError(f'BetaHook: interval must be a positive integer, got {interval!r}')
        words = [OWN] if names is None else [names] if isinstance(names, str) else list(names)
        if not words or not all(isinstance(word, str) for word in words):
            raise ValueError(f'BetaHook: names must be words such as JointCrop, got {names!r}')
        self.names = words
        self.interval = interval
        try:
            self.schedule = None if schedule is None else BetaSchedule(**schedule)
            self.follow = None if follow is None else BetaFollower(**follow)
        except (TypeError, ValueError) as error:
            which = 'schedule' if follow is None else 'follow'
            raise type(error)(f'BetaHook: {which}: {error}') from error
        #: The beta of each epoch so far.
        self.betas: list[float] = []
        self._moving = False
        self._sum, self._count = 0.0, 0
        self._recorder: Recorder | _AccuracyRecorder | None = None
        self._resumed = False

    def before_run(self, runner: Runner) -> None:
        """Check that the model has what is to be followed."""
        if self.follow is not None:
            self._new_recorder(runner).remove()

    def _new_recorder(self, runner: Runner) -> 'Recorder | _AccuracyRecorder':
        model = unwrapped(runner.model)
        assert self.follow is not None
        return Recorder(model) if self.follow.measure == 'cosine' else _AccuracyRecorder(model)

    def before_train(self, runner: Runner) -> None:
        """Connect to the views, and check that they can have these betas."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(
                'BetaHook needs train_cfg=dict(by_epoch=True, ...): it changes beta between epochs'
            )
        if sum(isinstance(hook, BetaHook) for hook in runner.hooks) > 1:
            raise ValueError('BetaHook: the config has two; one steers all of its names')
        loader = runner.train_dataloader
        lacks = tie_draws(loader, seed_of_draws(runner), runner.epoch)
        if lacks:
            raise ValueError(f'BetaHook: a beta travels with the index of a sample, but {lacks}')
        try:
            views = joint_views(loader.dataset)
            quantities = steered_quantities(views, self.names, 'the training pipeline')
            for quantity in quantities:
                for beta in (self.schedule or self.follow).extremes:  # type: ignore[union-attr]
                    quantity.law.with_beta(beta)
        except ValueError as error:
            raise ValueError(f'BetaHook: {error}') from error
        steer(loader.dataset, quantities)
        if not self._resumed:
            self.betas = [self._planned(0, runner)]
        elif len(self.betas) != runner.epoch + 1:
            raise CheckpointError(
                f'BetaHook: the checkpoint has the betas of {len(self.betas)} epochs, and goes on '
                f'in epoch {runner.epoch + 1}'
            )

    def _planned(self, epoch: int, runner: Runner) -> float:
        if self.schedule is not None:
            return self.schedule.at(epoch, runner.max_epochs)
        assert self.follow is not None
        return self.follow.start

    def before_train_epoch(self, runner: Runner) -> None:
        """Tell the views the beta of the epoch, and record it."""
        beta = self.betas[runner.epoch]
        set_beta(runner.train_dataloader, beta)
        runner.message_hub.update_scalar('train/beta/beta', beta)
        if is_main_process():
            facts = dict(names=self.names, betas=self.betas[: runner.epoch + 1])
            write_output(Path(runner.work_dir, BETAS_FILE), json.dumps(facts) + '\n')

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        """Record the model in this iteration if it is to be measured."""
        last = batch_idx + 1 == len(runner.train_dataloader)
        if self.follow is not None and (last or self.every_n_inner_iters(batch_idx, self.interval)):
            self._recorder = self._new_recorder(runner)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Measure the cosine of the positive pairs, or the accuracy."""
        if self._recorder is None:
            return
        recorder, self._recorder = self._recorder, None
        recorder.remove()
        if isinstance(recorder, Recorder):
            measured = feature_spread(recorder.pairs()).get('positive', math.nan)
        else:
            measured = recorder.accuracy()
        if math.isfinite(measured):
            self._sum += measured
            self._count += 1

    def after_train_epoch(self, runner: Runner) -> None:
        """Choose the beta of the next epoch."""
        epoch, beta = runner.epoch + 1, self.betas[runner.epoch]
        why = ''
        if self.follow is None:
            chosen = self._planned(epoch, runner)
        else:
            measure = self.follow.measure
            if not self._count:
                raise ValueError(
                    f'BetaHook: {type(unwrapped(runner.model)).__name__} shows no {measure} of '
                    'positive pairs that could be held; a schedule needs none'
                )
            mean = self._sum / self._count
            self._sum, self._count = 0.0, 0
            runner.message_hub.update_scalar(f'train/beta/{measure}', mean)
            chosen, self._moving = self.follow.next(beta, mean, self._moving)
            chosen = self._of_first_process(chosen)
            why = (
                f': the {measure} of positive pairs was {mean:.4f}, the target is '
                f'{self.follow.target:g}'
            )
            if self._moving and chosen == beta and beta not in self.betas[-2:-1]:
                runner.logger.warning(
                    f'BetaHook: beta stays at its bound {beta:g}{why}, which it cannot reach now'
                )
        self.betas.append(chosen)  # also after the last epoch: the run may be resumed for longer
        if chosen != beta and epoch < runner.max_epochs:
            runner.logger.info(
                f'BetaHook: beta {chosen:.4g} in epoch {epoch + 1} after {beta:.4g}{why}'
            )

    @staticmethod
    def _of_first_process(beta: float) -> float:
        """Return the beta of the first process: rounding may differ between processes."""
        value = torch.tensor(beta, dtype=torch.float64)
        broadcast(value)
        return value.item()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the betas and what has been measured."""
        checkpoint[_KEY] = dict(
            betas=list(self.betas), moving=self._moving, sum=self._sum, count=self._count
        )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take them from the checkpoint of a resumed run."""
        if not runner._resume:
            return
        state = checkpoint.get(_KEY)
        if state is None:
            raise CheckpointError(
                'BetaHook: the run to resume was started without this hook; to start from its '
                'weights alone, give --cfg-options load_from=CKPT instead of --resume'
            )
        kinds = dict(betas=list, moving=bool, sum=float, count=int)
        if not _has(state, kinds) or not all(_is_number(beta) for beta in state['betas']):
            raise CheckpointError(f'BetaHook: {_KEY} of the checkpoint are not betas: {state!r}')
        self.betas = [float(beta) for beta in state['betas']]
        self._moving, self._sum, self._count = state['moving'], state['sum'], state['count']
        self._resumed = True


class _AccuracyRecorder:
    """Records how often the positive has the highest score in a contrastive loss.

    Args:
        model (nn.Module): The algorithm, without its wrapper.

    Raises:
        ValueError: Its head has no loss that could see scores.
    """

    def __init__(self, model: nn.Module) -> None:
        loss = getattr(getattr(model, 'head', None), 'loss_module', None)
        if not isinstance(loss, nn.Module):
            raise ValueError(
                f"BetaHook: measure='accuracy' needs a model with head.loss_module, which "
                f'{type(model).__name__} does not have'
            )
        self._sums: list[Tensor] = []
        self._handle = loss.register_forward_pre_hook(self._take)

    def _take(self, module: nn.Module, args: tuple) -> None:
        if len(args) < 2 or not all(isinstance(value, Tensor) for value in args[:2]):
            return
        scores, labels = args[:2]
        if scores.ndim == 2 and labels.ndim == 1 and not labels.is_floating_point():
            right = (scores.detach().argmax(1) == labels).sum()
            self._sums.append(torch.stack([right, torch.full_like(right, len(labels))]))

    def remove(self) -> None:
        """Stop recording."""
        self._handle.remove()

    def accuracy(self) -> float:
        """Return the accuracy over all processes; NaN if there are no scores."""
        sums = torch.stack(self._sums).sum(0) if self._sums else torch.zeros(2, dtype=torch.long)
        all_reduce(sums)
        right, number = sums.tolist()
        return right / number if number else math.nan


def _has(state: Any, kinds: dict[str, type]) -> bool:
    return isinstance(state, dict) and all(type(state.get(k)) is kind for k, kind in kinds.items())


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
