"""Ties what a run draws to its seed, the epoch and the image."""

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
    """mmengine's ``DistSamplerSeedHook``, with which draws follow from seed, epoch and image alone.

    What the views of a sample draw then depends neither on the number of workers and processes nor
    on whether the run was resumed (``mmjoint.transforms.draws``), and what the model draws in an
    iteration (MoCo's shuffled keys, dropout) follows from the seed and the iteration. A batch's
    ``data_samples`` carry ``draw``, ``'EPOCH:INDEX'``, with which ``tools/browse_views.py
    --replay`` shows the views again.

    It takes the place of mmengine's hook in mmpretrain's scope, so that it works in the tools of
    mmpretrain, too, for training pipelines that hold a ``JointView``. ``tools/train.py`` has it
    for all.

    Args:
        always (bool): Whether it is also for pipelines without a ``JointView``, such as those with
            stock transforms. Defaults to False.

    Examples:
        >>> custom_hooks = [dict(type='DrawsHook', always=True)]
    """

    def __init__(self, always: bool = False) -> None:
        self.always = always
        self._seed: int | None = None

    def before_train(self, runner: Runner) -> None:
        """Tie the draws, and say what is not tied."""
        loader = runner.train_dataloader
        if not (self.always or _makes_joint_views(loader.dataset)):
            return
        options = runner._randomness_cfg if hasattr(runner, '_randomness_cfg') else {}
        self._seed = runner.seed - get_rank() * bool(options.get('diff_rank_seed'))
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
        """Tell the sampler the epoch, for the order and for the draws."""
        super().before_train_epoch(runner)
        if self._seed is not None:
            tie_draws(runner.train_dataloader, self._seed, runner.epoch)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        """Seed what the model draws."""
        if self._seed is not None:
            seed_iteration(runner.seed, runner.iter)


def _makes_joint_views(dataset: Any) -> bool:
    """Whether a data set, or one that it wraps, has a pipeline with a JointView."""
    pipeline = getattr(dataset, 'pipeline', None)
    if any(isinstance(step, JointView) for step in getattr(pipeline, 'transforms', ())):
        return True
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    return any(_makes_joint_views(wrapped) for wrapped in inner if wrapped is not None)
