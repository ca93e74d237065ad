"""Shows what the joint augmentations of a run drew."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.visualization.vis_backend import TensorboardVisBackend
from mmpretrain.datasets.transforms import PackInputs

from ..pairs.source import pair_sets
from ..transforms import BlurParams, ColorParams, CropParams, JointView

HISTOGRAMS = 'pair_histograms.json'
# Of larger batches so many images are enough, and keep the cost down.
IMAGES_A_BATCH = 32
BIN_WIDTHS = dict(ratio=0.1, hue=0.01)


@HOOKS.register_module()
class PairStatsHook(Hook):
    """Log how different the two views of the training pairs are, from the recorded parameters.

    For each quantity that both views of a pair undergo (``area`` of ``JointCrop``, ``sigma`` of
    ``JointBlur``, ``brightness``, ``contrast`` and ``saturation`` of ``JointColor``) the log ratio
    of view 2 to view 1, and for ``hue`` the difference in turns. Logged every ``interval``
    iterations over the pairs since the last time (of the main process, 32 images a batch):
    ``pairs/<name>``, the mean absolute value, and ``pairs/<name>_beyond_2``, the share of pairs
    whose ratio is beyond 1:2. For areas in (0.2, 1) the latter is 0.281 for independent crops and
    0.569 for JC(0).

    Histograms of the log ratios go to TensorBoard where it is on, and to
    ``vis_data/pair_histograms.json``: a line each time, name to ``low``, ``high`` and ``counts`` in
    bins of 0.1 (0.01 for hue).

    The parameters come with the batch: the hook adds ``view_params`` to the meta keys of the
    pipeline's ``PackInputs`` when training starts, which the log says.

    Args:
        interval (int): Iterations between two logs. Defaults to 100. A run shorter than that logs
            at its end.

    Raises:
        ValueError: ``interval`` is not positive; the training pipeline has no ``JointView``, or no
            ``PackInputs``.

    Examples:
        >>> custom_hooks = [dict(type='PairStatsHook', interval=100)]
    """

    # Before the hook that logs (BELOW_NORMAL).
    priority = 'NORMAL'

    def __init__(self, interval: int = 100) -> None:
        if not isinstance(interval, int) or interval < 1:
            raise ValueError(
                f'PairStatsHook: interval must be a positive integer, got {interval!r}'
            )
        self.interval = interval
        self._pairs: list[tuple[int, int]] = []
        self._drawn: dict[str, list[float]] = defaultdict(list)

    def before_train(self, runner: Runner) -> None:
        """Find out which views are pairs; have the batches carry their parameters."""
        dataset = runner.train_dataloader.dataset
        transforms = [t for pipeline in _pipelines(dataset) for t in pipeline]
        views = [t for t in transforms if isinstance(t, JointView)]
        packs = [t for t in transforms if isinstance(t, PackInputs)]
        if not views or not packs:
            raise ValueError(
                'PairStatsHook: the training pipeline has no '
                + ('PackInputs, which hands' if views else 'JointView, which records')
                + ' the parameters of the pairs'
            )
        self._pairs = [pair for pairs in pair_sets(views[0].num_views) for pair in pairs]
        for pack in packs:
            if 'view_params' not in (*pack.meta_keys, *pack.algorithm_keys):
                pack.meta_keys = (*pack.meta_keys, 'view_params')
                runner.logger.info('PairStatsHook: PackInputs now keeps view_params')

    @master_only
    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Take up a batch; log if it is time."""
        for sample in data_batch['data_samples'][:IMAGES_A_BATCH]:
            for first, second in self._pairs:
                params = sample.view_params
                for name, value in pair_differences(params[first], params[second]).items():
                    self._drawn[name].append(value)
        if self.every_n_train_iters(runner, self.interval) or runner.iter + 1 == runner.max_iters:
            self._log(runner)

    def _log(self, runner: Runner) -> None:
        step = runner.iter + 1
        scalars, histograms = {}, {}
        for name, values in self._drawn.items():
            drawn = np.array(values)
            size = np.abs(drawn)
            scalars[f'pairs/{name}'] = float(size.mean())
            if name != 'hue':
                scalars[f'pairs/{name}_beyond_2'] = float((size > math.log(2)).mean())
            width = BIN_WIDTHS.get(name, BIN_WIDTHS['ratio'])
            limit = width * max(1, math.ceil(size.max() / width))
            counts, _ = np.histogram(drawn, round(2 * limit / width), (-limit, limit))
            histograms[name] = dict(low=-limit, high=limit, counts=counts.tolist())
            for backend in runner.visualizer._vis_backends.values():
                if isinstance(backend, TensorboardVisBackend):
                    backend.experiment.add_histogram(f'pairs/{name}', drawn, step)
        self._drawn.clear()
        if not scalars:
            return
        runner.visualizer.add_scalars(scalars, step=step)
        told = '  '.join(f'{name}: {value:.4f}' for name, value in scalars.items())
        runner.logger.info(f'PairStatsHook, iteration {step}:  {told}')
        path = Path(runner.log_dir, 'vis_data', HISTOGRAMS)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open('a') as file:
            file.write(json.dumps(dict(step=step, **histograms)) + '\n')


def pair_differences(first: list[tuple], second: list[tuple]) -> dict[str, float]:
    """Return how view 2 of a pair differs from view 1 in what was drawn for them.

    Args:
        first, second (list[tuple]): The views' ``view_params``.

    Returns:
        dict[str, float]: Natural logarithms of ratios, view 2 to view 1, and for ``hue`` the
        difference in turns; only of what both views underwent.
    """
    differences = {}
    for (_, params1), (_, params2) in zip(first, second, strict=True):
        if isinstance(params1, CropParams):
            differences['area'] = math.log(params2.area / params1.area)
        elif isinstance(params1, BlurParams) and params1.applied and params2.applied:
            differences['sigma'] = math.log(params2.sigma / params1.sigma)
        elif isinstance(params1, ColorParams):
            for name in set(params1.order).intersection(params2.order):
                value1, value2 = getattr(params1, name), getattr(params2, name)
                if name == 'hue':
                    differences[name] = value2 - value1
                elif value1 > 0 and value2 > 0:  # a range may start at 0
                    differences[name] = math.log(value2 / value1)
    return differences


def _pipelines(dataset: Any) -> Iterator[list]:
    """Yield the transforms of a data set and of those that it wraps."""
    yield list(getattr(getattr(dataset, 'pipeline', None), 'transforms', []))
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    for wrapped in inner:
        if wrapped is not None:
            yield from _pipelines(wrapped)
