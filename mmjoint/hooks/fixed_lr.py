"""A learning rate that stays fixed while a schedule lowers the others, for SimSiam."""

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class FixedLRHook(Hook):
    """Keep the learning rate of the parameters that ``paramwise_cfg`` marks with ``fix_lr``.

    mmpretrain's ``SimSiamHook`` takes the rate from a second entry in the config, which
    ``--auto-scale-lr`` and an optimizer's ``lr`` on the command line do not change. This hook keeps
    the rate with which the optimizer started. Source: SimSiam (arXiv 2011.10566, section 4.2,
    'predictor').

    Raises:
        ValueError: At the start of training, if no parameter is marked.

    Examples:
        >>> optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'predictor': dict(fix_lr=True)}))
        >>> custom_hooks = [dict(type='FixedLRHook')]
    """

    # Runs before everything that reads the learning rates of an iteration.
    priority = 'HIGH'

    def before_train(self, runner: Runner) -> None:
        """Check that a parameter is marked."""
        if not self._groups(runner):
            raise ValueError(
                'FixedLRHook: no parameter is marked with fix_lr; mark them in '
                "optim_wrapper.paramwise_cfg.custom_keys, such as {'predictor': dict(fix_lr=True)}"
            )
        for group in self._groups(runner):
            group.setdefault('initial_lr', group['lr'])  # schedules set it, if there are any

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Sequence[dict] | None = None
    ) -> None:
        """Undo the changes that the schedules have made since the last iteration."""
        for group in self._groups(runner):
            group['lr'] = group['initial_lr']

    @staticmethod
    def _groups(runner: Runner) -> list[dict]:
        return [group for group in runner.optim_wrapper.param_groups if group.get('fix_lr')]
