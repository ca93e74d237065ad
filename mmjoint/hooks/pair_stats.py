"""Logs what the joint augmentations of a run drew."""

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

from ..pairs.quantities import pair_differences, quantities_of
from ..pairs.source import pair_sets
from ..transforms import JointView
from ..transforms.base import JointQuantity
from ..utils.files import append_line

HISTOGRAMS = 'pair_histograms.json'
# Number of images used of a larger batch: it is enough, and keeps the cost low.
IMAGES_A_BATCH = 32
# Width of the bins of log ratios. Differences have units: their bins are parts of their range.
BIN_WIDTHS = dict(ratio=0.1, pair=0.05)
BINS_A_SIDE = 20


@HOOKS.register_module()
class PairStatsHook(Hook):
    """Log how much the two views of the training pairs differ, from the recorded parameters.

    One number is logged for each joint quantity that the augmentations declare (``area`` and
    ``distance`` of ``JointCrop``, ``sigma`` of ``JointBlur``, ``brightness``, ``contrast``,
    ``saturation`` and ``hue`` of ``JointColor``, and those of your own), over the pairs whose views
    both underwent it: the log ratio of view 2 to view 1, or their difference (hue in turns;
    distance of the crops' centers). Every ``interval`` iterations, over the pairs since the last
    log (of the main process, 32 images per batch), the hook logs ``pairs/<name>``, the mean
    absolute value, and for ratios ``pairs/<name>_beyond_2``, the share of pairs beyond 1:2. For
    areas in (0.2, 1) the latter is 0.281 for independent crops and 0.569 for JC(0).

    Histograms go to TensorBoard if it is enabled, and to ``vis_data/pair_histograms.json``, one
    line per log: each name with ``low``, ``high`` and ``counts`` in equal bins (of 0.1 for log
    ratios, of a twentieth of the largest difference for differences, such as 0.01 turns for hue in
    +-0.1).

    The parameters come with the batch: when training starts, the hook adds ``view_params`` to the
    meta keys of the pipeline's ``PackInputs`` and logs that it did.

    Args:
        interval (int): Number of iterations between two logs. A shorter run logs at its end.
            Defaults to 100.

    Raises:
        ValueError: ``interval`` is not positive; the training pipeline has no ``JointView``, or no
            ``PackInputs``.

    Examples:
        >>> custom_hooks = [dict(type='PairStatsHook', interval=100)]
    """

    # Runs before the hook that logs (BELOW_NORMAL).
    priority = 'NORMAL'

    def __init__(self, interval: int = 100) -> None:
        if not isinstance(interval, int) or interval < 1:
            raise ValueError(
                f'PairStatsHook: interval must be a positive integer, got {interval!r}'
            )
        self.interval = interval
        self._pairs: list[tuple[int, int]] = []
        self._quantities: dict[str, JointQuantity] = {}
        self._drawn: dict[str, list[float]] = defaultdict(list)

    def before_train(self, runner: Runner) -> None:
        """Find out which views are pairs, and make the batches carry their parameters."""
        dataset = runner.train_dataloader.dataset
        transforms = [t for pipeline in _pipelines(dataset) for t in pipeline]
        views = joint_views(dataset)
        packs = [t for t in transforms if isinstance(t, PackInputs)]
        if not views or not packs:
            raise ValueError(
                'PairStatsHook: the training pipeline has no '
                + ('PackInputs, which hands' if views else 'JointView, which records')
                + ' the parameters of the pairs'
            )
        self._quantities = quantities_of(views[0])
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
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Add a batch; log if it is time."""
        for sample in data_batch['data_samples'][:IMAGES_A_BATCH]:
            for first, second in self._pairs:
                params = sample.view_params
                drawn = pair_differences(params[first], params[second], self._quantities)
                for name, value in drawn.items():
                    self._drawn[name].append(value)
        if self.every_n_train_iters(runner, self.interval) or runner.iter + 1 == runner.max_iters:
            self._log(runner)

    @staticmethod
    def _bins(quantity: JointQuantity, largest: float) -> tuple[float, float, int]:
        """Return the lower end, the upper end and the number of a histogram's bins."""
        if quantity.space == 'difference' and quantity.law is not None:
            return -quantity.law.limit, quantity.law.limit, 2 * BINS_A_SIDE
        width = BIN_WIDTHS.get(quantity.space, largest / BINS_A_SIDE or 1.0)
        limit = width * max(1, math.ceil(largest / width))
        if quantity.space == 'pair':
            return 0.0, limit, round(limit / width)
        return -limit, limit, round(2 * limit / width)

    def _log(self, runner: Runner) -> None:
        step = runner.iter + 1
        scalars, histograms = {}, {}
        for name, values in self._drawn.items():
            drawn = np.array(values)
            size = np.abs(drawn)
            scalars[f'pairs/{name}'] = float(size.mean())
            if self._quantities[name].space == 'ratio':
                scalars[f'pairs/{name}_beyond_2'] = float((size > math.log(2)).mean())
            low, high, bins = self._bins(self._quantities[name], float(size.max()))
            counts, _ = np.histogram(np.clip(drawn, low, high), bins, (low, high))
            histograms[name] = dict(low=low, high=high, counts=counts.tolist())
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
        append_line(path, json.dumps(dict(step=step, **histograms)))


def joint_views(dataset: Any) -> list[JointView]:
    """Return what makes the views of a data set and of the data sets that it wraps."""
    return [t for pipeline in _pipelines(dataset) for t in pipeline if isinstance(t, JointView)]


def _pipelines(dataset: Any) -> Iterator[list]:
    """Yield the transforms of a data set and of the data sets that it wraps."""
    yield list(getattr(getattr(dataset, 'pipeline', None), 'transforms', []))
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    for wrapped in inner:
        if wrapped is not None:
            yield from _pipelines(wrapped)
