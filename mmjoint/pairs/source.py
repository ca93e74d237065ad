"""The pairs of a config: its photos, the views it makes of them, and what was drawn for each."""

import copy
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.datasets.transforms import GaussianBlur, RandomResizedCrop
from mmpretrain.registry import DATASETS, TRANSFORMS

from ..distributions import FixedRatio, JointDistribution
from ..transforms import BlurParams, CropParams, JointCrop, JointView, PairTransform

VIEW_TYPES = ('JointView', 'MultiView')


class PairSource:
    """The photos and the views of a pretraining config.

    Views are made as in training. A ``MultiView`` becomes the ``JointView`` of the same arguments,
    which gives the same views and records what was drawn for them; stock ``RandomResizedCrop`` and
    ``GaussianBlur`` directly in a view pipeline are recorded too, as ``CropParams`` (whose area is
    the box's own) and ``BlurParams``.

    Args:
        cfg (Config): A config whose ``train_dataloader.dataset``, or the data set within it, has a
            pipeline with a ``JointView`` or ``MultiView``.
        images (str | Path, optional): A folder of photos to take instead of its data set, with
            subfolders.

    Raises:
        ValueError: The config has no training set, or its pipeline makes no views.
    """

    def __init__(self, cfg: Config, images: str | Path | None = None) -> None:
        init_default_scope(cfg.get('default_scope') or 'mmpretrain')
        self.name = cfg.filename or 'the config'
        dataset = (cfg.get('train_dataloader') or {}).get('dataset')
        if dataset is None:
            raise ValueError(f'{self.name}: has no train_dataloader.dataset to take photos from')
        self._dataset = copy.deepcopy(dict(dataset))
        holder = next(_with_pipeline(self._dataset), {})
        steps = list(holder.get('pipeline', ()))
        places = [i for i, step in enumerate(steps) if type_name(step) in VIEW_TYPES]
        if not places:
            raise ValueError(
                f'{self.name}: the training pipeline makes no views: it holds no JointView or '
                'MultiView'
            )
        self._views = steps[places[0]]
        self.after = steps[places[0] + 1 :]
        before = steps[: places[0]]
        loaders = [i for i, step in enumerate(before) if type_name(step).startswith('LoadImage')]
        for i in loaders[:1]:
            # A broken file must not be replaced by another photo unnoticed.
            options = {k: v for k, v in before[i].items() if k not in ('type', 'on_error')}
            if type_name(before[i]) in ('LoadImage', 'LoadImageFromFile'):
                options = {k: v for k, v in options.items() if k != '_scope_'}
                before[i] = dict(type='LoadImage', on_error='raise', **options)
        if images is not None:
            loader = [] if loaders else [dict(type='LoadImage', on_error='raise')]
            self._dataset = dict(
                type='ImageFolder', data_root=str(images), pipeline=loader + before
            )
        else:
            holder['pipeline'] = before

    def build_dataset(self) -> Any:
        """Build the data set up to the views: its items are result dicts with ``img``."""
        return DATASETS.build(self._dataset)

    def build_views(
        self, betas: dict[str, float | None] | None = None, fixed_ratio: float | None = None
    ) -> JointView:
        """Build what makes the views.

        Args:
            betas (dict, optional): The beta to give to all transforms of a type, such as
                ``{'JointCrop': -2}``, wherever among the views; the others keep theirs.
            fixed_ratio (float, optional): The ratio of the two crop areas of every pair, from 1,
                in place of their distribution.

        Returns:
            JointView: Makes views of a result dict and records what it draws.

        Raises:
            ValueError: There is no transform of that type, or its range does not allow that.
        """
        step = copy.deepcopy(self._views)
        for name, beta in (betas or {}).items():
            found = [transform for transform in _dicts(step) if type_name(transform) == name]
            if not found:
                raise ValueError(f'{self.name}: the views hold no {name} whose beta could be set')
            for transform in found:
                transform['beta'] = beta
        views = TRANSFORMS.build({**step, 'type': 'JointView'})
        for pipeline in pipelines_of(views):
            for i, transform in enumerate(pipeline):
                if isinstance(transform, RandomResizedCrop):
                    pipeline[i] = StockCrop(transform)
                elif isinstance(transform, GaussianBlur):
                    pipeline[i] = StockBlur(transform)
        if fixed_ratio is not None:
            crops = [t for p in pipelines_of(views) for t in p if isinstance(t, JointCrop)]
            if not crops:
                raise ValueError(f'{self.name}: the views hold no JointCrop to fix the ratio of')
            for crop in crops:
                crop.area = FixedRatio(*crop.crop_ratio_range, fixed_ratio)
        return views

    def joint_types(self, candidates: Sequence[str]) -> list[str]:
        """Return those of the type names that the views hold."""
        found = {type_name(transform) for transform in _dicts(self._views)}
        return [name for name in candidates if name in found]


def pair_sets(num_views: Sequence[int]) -> list[list[tuple[int, int]]]:
    """Say which views are the pairs whose parameters may be drawn jointly.

    Args:
        num_views (Sequence[int]): Views of each group.

    Returns:
        list[list[tuple[int, int]]]: Sets of pairs that are alike, each pair the numbers, from 0,
        of two views: 1-2, 3-4, ... of each group. Where all groups have one view, as two views
        with different pipelines are written in stock configs, groups pair up in this way.
    """
    if len(num_views) > 1 and all(num == 1 for num in num_views):
        return [[(i, i + 1)] for i in range(0, len(num_views) - 1, 2)]
    sets, start = [], 0
    for num in num_views:
        sets.append([(start + i, start + i + 1) for i in range(0, num - 1, 2)])
        start += num
    return [pairs for pairs in sets if pairs]


def seed_draws(*numbers: int) -> None:
    """Seed Python's, NumPy's and torch's generators, from which transforms draw.

    Args:
        *numbers (int): From 0; different ones give independent draws.
    """
    state = np.random.SeedSequence(numbers).generate_state(3)
    random.seed(int(state[0]))
    np.random.seed(state[1])
    torch.manual_seed(int(state[2]))


def parse_beta(text: str) -> float | None:
    """Read a beta of a command line: a number, or ``None`` for independent draws."""
    return None if text.lower() == 'none' else float(text)


def type_name(step: Any) -> str:
    """Return the type of a config dict as a name without its scope; '' for anything else."""
    kind = step.get('type', '') if isinstance(step, dict) else ''
    return (kind if isinstance(kind, str) else kind.__name__).split('.')[-1]


def pipelines_of(owner: Any) -> Iterator[list]:
    """Go through the pipelines of a view transform and of the pair transforms within."""
    for pipeline in getattr(owner, 'pipelines', ()):
        yield pipeline
        for transform in pipeline:
            if isinstance(transform, PairTransform):
                yield from pipelines_of(transform)


def _with_pipeline(dataset: dict) -> Iterator[dict]:
    """Find the config of the data set that makes the views, within wrappers of data sets."""
    if any(type_name(step) in VIEW_TYPES for step in dataset.get('pipeline') or ()):
        yield dataset
    inner = [dataset.get('dataset'), *(dataset.get('datasets') or ())]
    for child in inner:
        if isinstance(child, dict):
            yield from _with_pipeline(child)


def _dicts(node: Any) -> Iterator[dict]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _dicts(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _dicts(value)


class StockCrop:
    """mmpretrain's ``RandomResizedCrop``, recorded as ``CropParams``."""

    makes_new_image = False

    def __init__(self, crop: RandomResizedCrop) -> None:
        self.crop = crop
        self.area = JointDistribution(*crop.crop_ratio_range, beta=None)
        self._box: tuple | None = None
        self._draw = crop.rand_crop_params
        crop.rand_crop_params = self._record_draw

    def _record_draw(self, img: np.ndarray) -> tuple:
        self._box = self._draw(img)
        return self._box

    def sample(self, results: dict) -> CropParams:
        """Draw a box as the crop does, without cropping."""
        height, width = results['img'].shape[:2]
        y, x, h, w = self._draw(results['img'])
        return CropParams(x, y, w, h, w * h / (width * height), (height, width))

    def __call__(self, results: dict) -> dict:
        height, width = results['img'].shape[:2]
        results = self.crop(results)
        y, x, h, w = self._box
        params = CropParams(x, y, w, h, w * h / (width * height), (height, width))
        results['view_params'].append((type(self.crop).__name__, params))
        return results

    def __repr__(self) -> str:
        return repr(self.crop)


class StockBlur:
    """mmpretrain's ``GaussianBlur``, recorded as ``BlurParams``."""

    def __init__(self, blur: GaussianBlur) -> None:
        self.blur = blur
        limits, self.sigma = blur.magnitude_range, None
        if limits and blur.magnitude_std == 'inf':
            low, high = limits
            high = low + (high - low) * blur.magnitude_level / blur.total_level
            self.sigma = JointDistribution(low, high, beta=None)
        self._params = BlurParams(0.0, False)
        self._disabled, self._magnitude = blur.random_disable, blur.random_magnitude
        blur.random_disable, blur.random_magnitude = self._record_choice, self._record_sigma

    def _record_choice(self) -> bool:
        disabled = self._disabled()
        self._params = BlurParams(float(self.blur.radius or 0) * (not disabled), not disabled)
        return disabled

    def _record_sigma(self) -> float:
        sigma = self._magnitude()
        self._params = BlurParams(float(sigma), True)
        return sigma

    def sample(self, results: dict) -> BlurParams:
        """Draw as the blur does, without blurring."""
        if not self._record_choice() and self.blur.radius is None:
            self._record_sigma()
        return self._params

    def __call__(self, results: dict) -> dict:
        results = self.blur(results)
        results['view_params'].append((type(self.blur).__name__, self._params))
        return results

    def __repr__(self) -> str:
        return repr(self.blur)
