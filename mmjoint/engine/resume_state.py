"""Checks the state that a resumed run takes from a checkpoint, and fits it to other batches."""

import copy
import math
from types import SimpleNamespace

from mmengine.hooks import Hook
from mmengine.model import BaseAveragedModel
from mmengine.optim import OptimWrapper, OptimWrapperDict, _ParamScheduler
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.optim import Optimizer

from ..checkpoints import CheckpointError
from ..models.dino import DINO
from ..utils.models import unwrapped
from .loops import ResumableEpochLoop

_HINT = 'to start from its weights alone, give --cfg-options load_from=CKPT instead of --resume'


def batch_facts(runner: Runner) -> dict[str, int]:
    """Return what a number of iterations means in a run.

    Args:
        runner (Runner): The runner, with a train loop.

    Returns:
        dict[str, int]: ``epoch_length``, the iterations per epoch, and ``batch_size``, the images
        per iteration over all processes, 0 if the data loader does not say.
    """
    loader = runner.train_dataloader
    size = getattr(loader, 'batch_size', None) or getattr(loader.batch_sampler, 'batch_size', 0)
    return dict(epoch_length=len(loader), batch_size=size * runner.world_size)


class RecordBatchesHook(Hook):
    """Record in each checkpoint what its number of iterations means."""

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add ``epoch_length`` and ``batch_size`` to the checkpoint's meta."""
        checkpoint['meta'].update(batch_facts(runner))


class ResumeHook(Hook):
    """Continue as the interrupted run would have, or raise if that is not possible.

    mmengine continues with whatever a checkpoint has, and counts in iterations: without the
    optimizer's state the momentum starts anew, in the middle of an epoch the epoch starts again,
    and with other batches the schedules that are counted in iterations are wrong. It reads a
    checkpoint's seed when the sampler already exists with a seed of this start.

    Args:
        path (str): The checkpoint, for messages.
    """

    # Runs after the check of the weights and before hooks that read their state from a checkpoint.
    priority = 'HIGH'

    def __init__(self, path: str) -> None:
        self.path = path

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check a checkpoint and change it in place, before mmengine takes anything from it.

        Raises:
            CheckpointError: If the run cannot continue from it.
        """
        meta = checkpoint.get('meta')
        if not isinstance(meta, dict):
            raise CheckpointError(f'{self.path}: not a training run to continue: no meta; {_HINT}')
        meta.pop('config', None)  # mmengine would run this text as Python
        if not isinstance(runner, Runner):  # mmengine's strategies load checkpoints themselves
            self._keep_order(runner, meta.get('seed'))
            return
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            self._check_number(meta, 'iter', runner.max_iters)
            meta.setdefault('epoch', 0)
        else:
            self._check_number(meta, 'epoch', runner.max_epochs)
            self._check_number(meta, 'iter', None)
        self._check_states(runner, checkpoint)
        self._keep_order(runner, meta.get('seed'))
        if not isinstance(runner.train_loop, IterBasedTrainLoop):
            self._fit_to_epochs(runner, checkpoint)

    def _check_number(self, meta: dict, name: str, limit: int | None) -> None:
        number = meta.get(name)
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise CheckpointError(
                f'{self.path}: {name} {number!r} in its meta, expected an integer of 0 or more; '
                f'{_HINT}'
            )
        if limit is not None and number > limit:
            raise CheckpointError(
                f'{self.path}: {name} {number}, beyond the end of this run at {limit}: raise '
                f'train_cfg.max_{name}s to train on; {_HINT}'
            )

    def _check_states(self, runner: Runner, checkpoint: dict) -> None:
        lacking = [name for name in ('message_hub', 'optimizer') if name not in checkpoint]
        if runner.param_schedulers and 'param_schedulers' not in checkpoint:
            lacking.append('param_schedulers')
        if lacking:
            raise CheckpointError(
                f'{self.path}: no {", ".join(lacking)} in it, so that the run cannot go on as it '
                f'was; {_HINT}'
            )
        if isinstance(runner.optim_wrapper, OptimWrapper) and not isinstance(
            runner.optim_wrapper, OptimWrapperDict
        ):
            self._check_optimizer(runner.optim_wrapper.optimizer, checkpoint['optimizer'])
        wanted = _lists(runner.param_schedulers)
        saved = _lists(checkpoint.get('param_schedulers'))
        counts = ({k: len(v) for k, v in group.items() if v} for group in (wanted, saved))
        wanted_counts, saved_counts = counts
        if wanted_counts != saved_counts:
            raise CheckpointError(
                f'{self.path}: {sum(saved_counts.values())} param_schedulers in it and '
                f'{sum(wanted_counts.values())} in the config: go on with the config of the run; '
                f'{_HINT}'
            )
        for name, schedulers in wanted.items():
            for i, (scheduler, state) in enumerate(zip(schedulers, saved[name], strict=True)):
                keys = state.keys() if isinstance(state, dict) else set()
                missing = scheduler.state_dict().keys() - keys
                if missing - {'verbose'}:
                    raise CheckpointError(
                        f'{self.path}: its param_scheduler {i} is not {type(scheduler).__name__} '
                        f'(no {", ".join(sorted(missing))}): go on with the config of the run; '
                        f'{_HINT}'
                    )

    def _check_optimizer(self, optimizer: Optimizer, state: object) -> None:
        groups = state.get('param_groups') if isinstance(state, dict) else None
        if not isinstance(groups, list) or not all(isinstance(one, dict) for one in groups):
            raise CheckpointError(f'{self.path}: its optimizer has no param_groups; {_HINT}')
        wanted = optimizer.param_groups
        if len(groups) != len(wanted):
            raise CheckpointError(
                f'{self.path}: {len(groups)} groups of parameters in its optimizer and '
                f'{len(wanted)} in the config: go on with the config of the run; {_HINT}'
            )
        # Keys that identify an optimizer; other keys vary with torch's versions.
        telling = {'momentum', 'betas', 'alpha', 'lr_decay', 'trust_coefficient', 'eta'}
        for group, own in zip(groups, wanted, strict=True):
            missing = (own.keys() - group.keys()) & telling
            if missing:
                raise CheckpointError(
                    f'{self.path}: its optimizer is not {type(optimizer).__name__} (no '
                    f'{", ".join(sorted(missing))}): go on with the config of the run; {_HINT}'
                )

    @staticmethod
    def _keep_order(runner: Runner, seed: int | None) -> None:
        loader = runner.train_dataloader
        for sampler in (loader.sampler, getattr(loader.batch_sampler, 'sampler', None)):
            # A seed that the config gives to the sampler itself is kept.
            if sampler is None or seed is None:
                continue
            if getattr(sampler, 'seed', None) == runner.seed:
                sampler.seed = seed

    def _fit_to_epochs(self, runner: Runner, checkpoint: dict) -> None:
        """Find the position in the epoch; with other batches, count in batches of this run."""
        meta, now = checkpoint['meta'], batch_facts(runner)
        epoch, length = meta['epoch'], now['epoch_length']
        was = meta.get('epoch_length')
        if was is None:  # written by another program: only whole epochs are known
            whole = epoch > 0 and meta['iter'] % epoch == 0
            was = meta['iter'] // epoch if whole else length
        done = meta['iter'] - epoch * was
        if not 0 <= done <= was:
            raise CheckpointError(
                f'{self.path}: iter {meta["iter"]} is not in epoch {epoch} of {was} iterations; '
                f'{_HINT}'
            )
        if was != length:
            if done not in (0, was):
                raise CheckpointError(
                    f'{self.path}: saved after {done} of {was} iterations of an epoch, which has '
                    f'{length} now: go on with the batch size, processes and images of before, or '
                    'from a checkpoint of the end of an epoch'
                )
            done = length if done else 0
            meta['iter'] = epoch * length + done
            self._rescale(runner, checkpoint, was)
            runner.logger.info(
                f'{was} iterations per epoch before, {length} now: goes on after iteration '
                f'{meta["iter"]}, schedules in their place of epoch {epoch}'
            )
        if done and not isinstance(runner.train_loop, ResumableEpochLoop):
            raise CheckpointError(
                f'{self.path}: saved in the middle of an epoch, and a '
                f'{type(runner.train_loop).__name__} cannot go on from there'
            )
        if done:
            runner.train_loop.done = done

    def _rescale(self, runner: Runner, checkpoint: dict, was: int) -> None:
        """Set everything counted in iterations to where a run with this run's batches would be."""
        epoch, steps = checkpoint['meta']['epoch'], checkpoint['meta']['iter']
        saved = _lists(checkpoint.get('param_schedulers'))
        configs = _lists(runner.cfg.get('param_scheduler'))
        schedulers = _lists(runner.param_schedulers)
        for name, group in schedulers.items():
            for scheduler, state, config in zip(group, saved[name], configs[name], strict=True):
                # Numbers given in iterations apply to one batch size, so such a schedule must be
                # over. A schedule given in epochs already has this run's numbers.
                over = state['_global_step'] >= state.get('end', 0) and steps >= scheduler.end
                if not (scheduler.by_epoch or config.get('convert_to_iter_based') or over):
                    raise CheckpointError(
                        f'{self.path}: an epoch had {was} iterations and has '
                        f'{len(runner.train_dataloader)} now, and {type(scheduler).__name__} is '
                        'given in iterations: give it in epochs with convert_to_iter_based=True, '
                        'or go on with the batch size and processes of before'
                    )
        if list(schedulers) == [''] and not all(one.by_epoch for one in schedulers['']):
            _replay(schedulers[''], epoch, steps, checkpoint['optimizer'], saved[''])
        else:
            self._rescale_rate(runner, checkpoint)
        counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        model = unwrapped(runner.model)
        for prefix, module in model.named_modules():
            if isinstance(module, (BaseAveragedModel, DINO)):
                name = 'teacher_steps' if isinstance(module, DINO) else 'steps'
                moves = checkpoint['state_dict'].get(f'{prefix}.{name}' if prefix else name)
                if moves is not None and moves > 0:
                    moves.fill_(math.ceil(steps / counts))

    @staticmethod
    def _rescale_rate(runner: Runner, checkpoint: dict) -> None:
        """With ``--auto-scale-lr``, replace the saved rates by those of this run's batches."""
        before, now = checkpoint['meta'].get('batch_size'), batch_facts(runner)['batch_size']
        if not (runner.auto_scale_lr or {}).get('enable') or not before or not now:
            return
        for group in checkpoint['optimizer'].get('param_groups', ()):
            for key in {'lr', 'initial_lr'} & group.keys():
                group[key] *= now / before
        for states in _lists(checkpoint.get('param_schedulers')).values():
            for state in states:
                for key in ('base_values', '_last_value'):
                    if state.get('param_name') == 'lr' and key in state:
                        state[key] = [value * now / before for value in state[key]]


def _replay(
    schedulers: list[_ParamScheduler], epochs: int, steps: int, optimizer: dict, saved: list[dict]
) -> None:
    """Put schedules where an uninterrupted run would have them, by stepping copies of them.

    Args:
        schedulers (list[_ParamScheduler]): The schedulers of this run, not stepped yet.
        epochs (int): Number of whole epochs to step.
        steps (int): Number of iterations to step.
        optimizer (dict): The saved state of the optimizer; its rates are changed in place.
        saved (list[dict]): The saved states of the schedulers, changed in place.
    """
    groups = schedulers[0].optimizer.param_groups
    names = {scheduler.param_name for scheduler in schedulers}
    keys = [key for name in sorted(names) for key in (name, f'initial_{name}')]
    # Groups with equal values develop equally; a config with one group per weight has hundreds.
    kinds = {tuple(group[key] for key in keys): i for i, group in enumerate(groups)}
    places = [list(kinds).index(tuple(group[key] for key in keys)) for group in groups]
    stand_in = SimpleNamespace(
        param_groups=[{key: groups[i][key] for key in keys} for i in kinds.values()],
        step=SimpleNamespace(_with_counter=True),
        _global_step=0,
    )
    copies = [copy.copy(scheduler) for scheduler in schedulers]
    for scheduler in copies:
        scheduler.optimizer = stand_in
        scheduler.base_values = [scheduler.base_values[i] for i in kinds.values()]
    length = max(1, steps // max(1, epochs))
    for step in range(1, steps + 1):
        for scheduler in copies:
            if not scheduler.by_epoch:
                scheduler.step()
        if step % length == 0 and step // length <= epochs:
            for scheduler in copies:
                if scheduler.by_epoch:
                    scheduler.step()
    for group, place in zip(optimizer['param_groups'], places, strict=True):
        group.update(stand_in.param_groups[place])
    for state, scheduler, copied in zip(saved, schedulers, copies, strict=True):
        state.clear()
        state.update(copied.state_dict(), base_values=scheduler.base_values)
        state['_last_value'] = [copied._last_value[place] for place in places]


def _lists(schedulers: list | dict | None) -> dict[str, list]:
    """Return param schedulers, their states or their configs as lists by the optimizer's name."""
    if isinstance(schedulers, dict) and 'type' not in schedulers:
        return {
            name: value if isinstance(value, list) else [value]
            for name, value in schedulers.items()
        }
    if schedulers is None:
        return {}
    return {'': list(schedulers) if isinstance(schedulers, (list, tuple)) else [schedulers]}
