"""Ties the draws of a run to its seed, the epoch and the image."""

from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import DistSamplerSeedHook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpretrain.registry import HOOKS as MMPRETRAIN_HOOKS

from ..transforms import JointView
from ..transforms.draws import seed_iteration, tie_draws


@MMPRETRAIN_HOOKS.register_module(name='DistSamplerSeedHook')
@HOOKS.register_module()
class DrawsHook(DistSamplerSeedHook):
    """mmengine's ``DistSamplerSeedHook``, which also ties draws to seed, epoch and image.

    The draws for the views of a sample then depend neither on the number of workers and processes
    nor on whether the run was resumed (``mmjoint.transforms.draws``), and what the model draws in
    an iteration (MoCo's shuffled keys, dropout) follows from the seed and the iteration. The
    ``data_samples`` of a batch contain ``draw``, ``'EPOCH:INDEX'``, with which
    ``tools/browse_views.py --replay`` shows the views again.

    It replaces mmengine's hook in mmpretrain's scope, so it also works in mmpretrain's tools for
    training pipelines with a ``JointView``. ``tools/train.py`` uses it for all pipelines.

    Args:
        always (bool): Whether to tie the draws of pipelines without a ``JointView`` too, such as
            those with stock transforms. Defaults to False.

    Examples:
        >>> custom_hooks = [dict(type='DrawsHook', always=True)]
    """

    def __init__(self, always: bool = False) -> None:
        self.always = always
        self._seed: int | None = None

    def before_train(self, runner: Runner) -> None:
        """Tie the draws, and log what cannot be tied."""
        loader = runner.train_dataloader
        if not (self.always or _makes_joint_views(loader.dataset)):
            return
        self._seed = seed_of_draws(runner)
        lacks = tie_draws(loader, self._seed)
        begun = getattr(runner.train_loop, 'dataloader_iterator', None)
        if lacks is None and getattr(begun, '_iterator', None) is not None and loader.num_workers:
            lacks = 'this mmengine has loaded the first batches already'
        if lacks:
            runner.logger.warning(
                f'What views draw depends on the workers, and --replay cannot repeat it: {lacks}'
            )
        elif type(runner.train_loop) is EpochBasedTrainLoop:
            runner.logger.info(
                f'Views follow from the seed {self._seed}, epoch and image. A resumed run repeats '
                'them from the start of an epoch; within one it goes on in mmjoint tools/train.py'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Pass the epoch to the sampler, for the order and for the draws."""
        super().before_train_epoch(runner)
        if self._seed is not None:
            tie_draws(runner.train_dataloader, self._seed, runner.epoch)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        """Seed the draws of the model."""
        if self._seed is not None:
            seed_iteration(runner.seed, runner.iter)


def seed_of_draws(runner: Runner) -> int:
    """Return the seed that views follow from: the run's, which is that of its first process."""
    differ = getattr(runner, '_randomness_cfg', {}).get('diff_rank_seed')
    return runner.seed - get_rank() if differ else runner.seed


def _makes_joint_views(dataset: Any) -> bool:
    """Whether a data set, or one that it wraps, has a pipeline with a JointView."""
    pipeline = getattr(dataset, 'pipeline', None)
    if any(isinstance(step, JointView) for step in getattr(pipeline, 'transforms', ())):
        return True
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    return any(_makes_joint_views(wrapped) for wrapped in inner if wrapped is not None)
