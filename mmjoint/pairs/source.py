"""The pairs of a config: its photos, the views made of them, and the parameters drawn for each."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, TRANSFORMS

from ..datasets.stock import use_own_readers
from ..distributions import FixedRatio
from ..engine.signatures import arguments_of, suggest, type_name
from ..transforms import JointView
from ..transforms.draws import steer, tie_dataset
from ..transforms.joint_view import pipelines_of
from .betas import OWN, Betas, laws_of, matching, own_names, set_betas, steered_quantities, steps_of
from .quantities import declarations_of
from .stock import adapted

VIEW_TYPES = ('JointView', 'MultiView')


class PairSource:
    """The photos and the views of a pretraining config.

    Views are made as in training. A ``MultiView`` becomes the ``JointView`` with the same
    arguments, which gives the same views and records the drawn parameters. Stock
    ``RandomResizedCrop``, ``GaussianBlur`` and ``ColorJitter`` in a view pipeline also declare and
    record their draws (``pairs.stock``).

    Args:
        cfg (Config): A config whose ``train_dataloader.dataset``, or a data set wrapped by it, has
            a pipeline with a ``JointView`` or ``MultiView``.
        images (str | Path, optional): A folder of photos, searched with its subfolders, to use
            instead of the config's data set.

    Raises:
        ValueError: The config has no training set, or its pipeline makes no views.
    """

    def __init__(self, cfg: Config, images: str | Path | None = None) -> None:
        init_default_scope(cfg.get('default_scope') or 'mmpretrain')
        #: The config itself.
        self.cfg = cfg
        self.name, self._images = cfg.filename or 'the config', images
        dataset = (cfg.get('train_dataloader') or {}).get('dataset')
        if dataset is None:
            raise ValueError(f'{self.name}: has no train_dataloader.dataset to take photos from')
        self._trained = copy.deepcopy(dict(dataset))
        self._dataset = copy.deepcopy(dict(dataset))
        self._views = view_step(self._dataset, self.name)
        holder = next(_with_pipeline(self._dataset))
        steps = list(holder['pipeline'])
        place = next(i for i, step in enumerate(steps) if step is self._views)
        #: The steps of the pipeline after the views.
        self.after = steps[place + 1 :]
        before = steps[:place]
        use_own_readers([self._dataset, before])
        loaders = [step for step in before if type_name(step).startswith('LoadImage')]
        for step in loaders[:1]:
            # A broken file must not be replaced by another photo unnoticed.
            if type_name(step) == 'LoadImage':
                step.pop('_scope_', None)
                step['on_error'] = 'raise'
        if images is not None:
            loader = [] if loaders else [dict(type='LoadImage', on_error='raise')]
            self._dataset = dict(
                type='ImageFolder', data_root=str(images), pipeline=loader + before
            )
        else:
            holder['pipeline'] = before

    def build_dataset(self) -> Any:
        """Build the data set up to the views; its items are result dicts with ``img``.

        Raises:
            FileNotFoundError: The config's photos do not exist; the message suggests what to do.
        """
        try:
            return DATASETS.build(self._dataset)
        except FileNotFoundError as error:
            hint = '; --images FOLDER takes the photos below a folder instead'
            raise FileNotFoundError(
                f"{self.name}: the data set's files are not there ({error})"
                + hint * (self._images is None)
            ) from error

    def build_trained(self, seed: int, steered: Sequence[str] = ()) -> Any:
        """Build the training set up to and with the views, as a run of the config has it.

        Args:
            seed (int): The run's.
            steered (Sequence[str]): The names of what the run's ``BetaHook`` steers. Defaults to
                (), nothing.

        Returns:
            Any: The data set, from ``tie_dataset``. Its items are result dicts with the views in
            ``img``, in ``photo`` the result dict ahead of them, and what was drawn in
            ``view_params``, where the views are made by a ``JointView``.

        Raises:
            ValueError: The photos are not the config's own.
        """
        if self._images is not None:
            raise ValueError('--images: what a run trained on are the photos of its config')
        dataset = copy.deepcopy(self._trained)
        step = view_step(dataset, self.name)
        views = TRANSFORMS.build(step)
        if isinstance(views, JointView):
            for pipeline in pipelines_of(views):
                pipeline[:] = [adapted(transform) for transform in pipeline]

        def keep_photo(results: dict) -> dict | None:
            photo = {**results, 'img': results['img'].copy()}
            results = views(results)
            return None if results is None else {**results, 'photo': photo}

        holder = next(_with_pipeline(dataset))
        place = next(i for i, other in enumerate(holder['pipeline']) if other is step)
        holder['pipeline'] = [*holder['pipeline'][:place], keep_photo]
        built = tie_dataset(DATASETS.build(dataset), seed)
        if steered:
            joint = [views] if isinstance(views, JointView) else []
            steer(built, steered_quantities(joint, steered, self.name))
        return built

    def build_views(
        self,
        betas: Betas | None = None,
        fixed_ratio: tuple[str, float] | None = None,
        argument: tuple[str, Any] | None = None,
    ) -> JointView:
        """Build what makes the views.

        Args:
            betas (dict, optional): Betas to set, as documented in ``betas.set_betas``, such as
                ``{'JointCrop': -2, 'JointColor.hue': 0}``; the other betas are kept.
            fixed_ratio (tuple[str, float], optional): A name as in ``betas`` and the ratio, at
                least 1, that every pair has in it, instead of a ratio drawn from its distribution.
            argument (tuple[str, Any], optional): An argument of a transform or of ``JointView``,
                such as ``'JointCrop.overlap'``, and the value that it gets in each place.

        Returns:
            JointView: Makes the views of a result dict and records the parameters that it draws.

        Raises:
            ValueError: There is no such augmentation or argument, or its range does not permit the
                setting.
        """
        step = {**copy.deepcopy(self._views), 'type': 'JointView'}
        if betas:
            set_betas(step, betas, self.name)
        if argument is not None:
            _set_argument(step, *argument, self.name)
        views = TRANSFORMS.build(step)
        for pipeline in pipelines_of(views):
            pipeline[:] = [adapted(transform) for transform in pipeline]
        if fixed_ratio is not None:
            self._fix_ratio(views, *fixed_ratio)
        return views

    def _fix_ratio(self, views: JointView, word: str, ratio: float) -> None:
        names = [self.ratio_name()] if word == OWN else matching(word, self.laws(), self.name)
        for transform in declarations_of(views):
            for quantity in transform.joint:
                if f'{type(transform).__name__}.{quantity.name}' in names:
                    if quantity.space != 'ratio':
                        raise ValueError(
                            f'{self.name}: {quantity.title} has no ratio that could be fixed: its '
                            'pairs differ by a difference'
                        )
                    quantity.law = FixedRatio(quantity.law.low, quantity.law.high, ratio)

    def laws(self) -> dict[str, list[float | None]]:
        """List the betas of the views: ``'CLASS.QUANTITY'`` to the beta in each place."""
        return laws_of(self._views)

    def ratio_name(self) -> str:
        """Return the ratio, such as ``'JointCrop.area'``, that a fixed ratio without a name sets.

        Raises:
            ValueError: The views hold no joint augmentation whose quantity is a ratio.
        """
        ratios = [
            f'{type(transform).__name__}.{quantity.name}'
            for transform in declarations_of(self.build_views())
            for quantity in transform.joint
            if quantity.space == 'ratio'
        ]
        for name in own_names(self.laws()):
            if name in ratios:
                return name
        raise ValueError(
            f'{self.name}: the views hold no joint augmentation, such as JointCrop, to fix the '
            'ratio of'
        )


def _set_argument(views: dict, word: str, value: Any, where: str) -> None:
    kind, _, name = word.partition('.')
    steps = [step for step in steps_of(views) if type_name(step) == kind]
    if not steps:
        held = ', '.join(sorted({type_name(step) for step in steps_of(views)} - {''}))
        raise ValueError(f'{where}: the views hold no {kind}; they hold {held}')
    known, others = arguments_of(TRANSFORMS.get(kind))
    if name not in known and not others:
        raise ValueError(
            f'{where}: {kind} has no argument {name!r}, it has {", ".join(known)}'
            + suggest(name, known)
        )
    for step in steps:
        step[name] = copy.deepcopy(value)


def pair_sets(num_views: Sequence[int]) -> list[list[tuple[int, int]]]:
    """Return which views are the pairs whose parameters may be drawn jointly.

    Args:
        num_views (Sequence[int]): Number of views of each group.

    Returns:
        list[list[tuple[int, int]]]: Sets of similar pairs; each pair holds the numbers of two
        views, from 0: 1-2, 3-4, ... of each group. Where all groups have one view, as stock configs
        write two views with different pipelines, groups pair up in the same way.
    """
    if len(num_views) > 1 and all(num == 1 for num in num_views):
        return [[(i, i + 1)] for i in range(0, len(num_views) - 1, 2)]
    sets, start = [], 0
    for num in num_views:
        sets.append([(start + i, start + i + 1) for i in range(0, num - 1, 2)])
        start += num
    return [pairs for pairs in sets if pairs]


def _with_pipeline(dataset: dict) -> Iterator[dict]:
    """Find the config of the data set that makes the views, also inside wrappers of data sets."""
    if any(type_name(step) in VIEW_TYPES for step in dataset.get('pipeline') or ()):
        yield dataset
    inner = [dataset.get('dataset'), *(dataset.get('datasets') or ())]
    for child in inner:
        if isinstance(child, dict):
            yield from _with_pipeline(child)


def view_step(dataset: dict, name: str) -> dict:
    """Find the step of a data set's pipeline that makes the views, in the config itself.

    Args:
        dataset (dict): A ``train_dataloader.dataset``; wrappers of data sets are looked into.
        name (str): The config's name, for the message.

    Raises:
        ValueError: The pipeline has no such step.
    """
    for holder in _with_pipeline(dataset):
        for step in holder['pipeline']:
            if type_name(step) in VIEW_TYPES:
                return step
    raise ValueError(
        f'{name}: the training pipeline makes no views: it holds no JointView or MultiView'
    )


def set_config_betas(cfg: Config, betas: Betas) -> dict[str, float | None]:
    """Set the betas of a config's training views, in place.

    Args:
        cfg (Config): The config.
        betas (dict): As documented in ``betas.set_betas``.

    Returns:
        dict[str, float | None]: The betas that were set; the keys are ``'CLASS.QUANTITY'``.

    Raises:
        ValueError: The config makes no views, holds no such augmentation, or its range does not
            permit that beta.
    """
    init_default_scope(cfg.get('default_scope') or 'mmpretrain')
    name = cfg.filename or 'the config'
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    return set_betas(view_step(dataset, name), betas, name)
