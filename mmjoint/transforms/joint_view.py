"""JointView, PerView and JointChoice, and the functions that run views through a pipeline."""

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, Compose
from mmengine.registry import TRANSFORMS

from ..pixels import operations
from .base import PairTransform
from .checks import check_probability
from .coupling import check_coupling, draw_difficulties, quantities_to_couple

Transform = dict | Callable[[dict], dict]
# Types that most values of a result dict have; they need no deepcopy, which is slow.
_IMMUTABLE = frozenset((str, int, float, bool, bytes, type(None)))


def transform_views(transforms: list, views: list[dict]) -> list[dict] | None:
    """Run views through a pipeline side by side: pair transforms by pairs, all others by views.

    Args:
        transforms (list): Transform objects.
        views (list[dict]): Result dicts; they pair up in order (1-2, 3-4, ...).

    Returns:
        list[dict] | None: The result dicts, or None if a transform dropped a view.
    """
    for transform in transforms:
        sees_pairs, takes_deferred = _traits(type(transform))  # type: ignore[arg-type]  # it can be hashed
        if not takes_deferred:
            for view in views:
                view['img'] = operations.to_array(view['img'])
        if sees_pairs:
            outputs = []
            for i in range(0, len(views), 2):
                pair = transform.transform_pair(views[i : i + 2])
                if pair is None:
                    return None
                outputs.extend(pair)
        else:
            outputs = [transform(view) for view in views]
            if any(view is None for view in outputs):
                return None
            for view in outputs:
                view['img'] = operations.upright(view['img'])
        views = outputs
    return views


@cache
def _traits(kind: type) -> tuple[bool, bool]:
    """Return whether transforms of a class see pairs, and whether they accept deferred images.

    The second is read from the class itself and not inherited, since a subclass may look at pixels.
    """
    return issubclass(kind, PairTransform), vars(kind).get('takes_deferred', False)


def refuse_pair_transforms(transforms: list, where: str) -> None:
    """Raise if a transform that needs a pair is in a place where only one view passes.

    Args:
        transforms (list): Transform objects; the transforms in stock wrappers are checked too.
        where (str): The place, for the error message, such as ``'PerView'``.

    Raises:
        TypeError: A pair transform was found.
    """
    for transform in transforms:
        if isinstance(transform, PairTransform):
            raise TypeError(
                f'{type(transform).__name__} inside {where}: it draws for a pair, but only one '
                'view passes there. Put it directly in a group of JointView or in JointChoice'
            )
        if hasattr(transform, '__iter__'):
            refuse_pair_transforms(list(transform), where)


def _build_pipelines(name: str, transforms: Sequence[Sequence[Transform]]) -> list[list]:
    """Build pipelines, lists of transform objects; pair transforms must not be in a wrapper."""
    if not isinstance(transforms, (list, tuple)) or not all(
        isinstance(pipeline, (list, tuple)) for pipeline in transforms
    ):
        raise TypeError(f'{name} transforms must be a list of pipelines [[...], ...]')
    pipelines = [list(Compose(pipeline)) for pipeline in transforms]
    for pipeline in pipelines:
        for transform in pipeline:
            if not isinstance(transform, PairTransform) and hasattr(transform, '__iter__'):
                refuse_pair_transforms(list(transform), type(transform).__name__)
    return pipelines


def _makes_new_image(pipelines: Sequence[list]) -> bool:
    """Return whether every pipeline starts with a transform that leaves its input untouched."""
    return all(
        pipeline and isinstance(pipeline[0], PairTransform) and pipeline[0].makes_new_image
        for pipeline in pipelines
    )


def pipelines_of(owner: 'JointView | PairTransform') -> Iterator[list]:
    """Iterate over the pipelines of a view transform and of the pair transforms in it.

    Args:
        owner (JointView | PairTransform): The transform that holds the pipelines.

    Yields:
        list: The pipeline itself, not a copy; transforms in it may be replaced.
    """
    for pipeline in owner.pipelines:
        yield pipeline
        for transform in pipeline:
            if isinstance(transform, PairTransform):
                yield from pipelines_of(transform)


@TRANSFORMS.register_module()
class JointView(BaseTransform):
    """Make several views of an image, whose pairs may be drawn jointly.

    It takes the arguments of mmpretrain's ``MultiView`` and returns its result, so that a
    ``MultiView`` config works when only the type's name changes. The views of one group go through
    the group's pipeline side by side: a joint transform (``JointCrop``, ``JointBlur``,
    ``JointColor``, ``JointChoice``, ``PerView``) treats views 1 and 2, 3 and 4, ... as pairs; any
    other transform is applied to each view alone. Groups are independent of each other (multi-crop
    has two groups).

    Views share the decoded image while nothing writes to it, and get copies otherwise.

    Required Keys:

    - img

    Modified Keys:

    - img (list[np.ndarray]): the views, of shape (H, W, C), uint8.

    Added Keys:

    - view_params (list[list]): for each view what its joint transforms drew, a list of
      ``(class name, params)``. ``PackInputs(meta_keys=('view_params',))`` keeps it.

    Args:
        transforms (list[list[dict | callable]]): One pipeline per group.
        num_views (int | list[int]): Number of views of each group. It must be even for a group
            that holds a joint transform.
        coupling (float, optional): The correlation rho, in [-1, 1], of a Gaussian copula between
            the difficulty ``|t|`` of the first quantity with a beta in a group, usually the area of
            ``JointCrop``, and that of each later one (which among themselves correlate by rho
            squared). With rho > 0 hard goes with hard; with rho < 0 a hard crop has easy blur and
            color; with 0 they are independent. Each quantity keeps its distribution. Defaults to
            None, each quantity drawn by itself. It does nothing where all betas are None.

    Raises:
        TypeError: ``transforms`` or ``num_views`` has a wrong form, or a joint transform is hidden
            in a stock wrapper such as ``RandomApply``.
        ValueError: ``num_views`` does not fit ``transforms``, a view would have no partner, or
            there are no quantities to couple.

    Examples:
        >>> dict(type='JointView', num_views=2, transforms=[[
        >>>     dict(type='JointCrop', scale=224, crop_ratio_range=(0.2, 1.0), beta=0),
        >>>     dict(type='RandomFlip', prob=0.5),
        >>> ]])
    """

    def __init__(
        self,
        transforms: Sequence[Sequence[Transform]],
        num_views: int | Sequence[int],
        coupling: float | None = None,
    ) -> None:
        self.pipelines = _build_pipelines('JointView', transforms)
        given: Any = num_views  # its elements are checked below
        self.num_views: list[int] = list(given) if isinstance(given, (list, tuple)) else [given]
        if len(self.num_views) != len(self.pipelines):
            raise ValueError(
                f'num_views must hold one number for each of the {len(self.pipelines)} groups in '
                f'transforms, got {num_views!r}'
            )
        for num, pipeline in zip(self.num_views, self.pipelines, strict=True):
            if isinstance(num, bool) or not isinstance(num, int):
                raise TypeError(f'num_views must be an int or a list of int, got {num_views!r}')
            if num < 1:
                raise ValueError(f'num_views must be at least 1, got {num_views!r}')
            joint = [t for t in pipeline if isinstance(t, PairTransform)]
            if joint and num % 2:
                raise ValueError(
                    f'num_views={num} leaves a view without its pair: a group that holds '
                    f'{type(joint[0]).__name__} needs an even number of views. Put both views of a '
                    'pair in one group, what differs between them in PerView or in pairs of '
                    'probabilities; tools/make_joint.py does so for stock configs'
                )
        self.coupling = coupling
        # The quantities of each group that can be coupled, which are not looked for in each image.
        self._able = [list(quantities_to_couple(pipeline)) for pipeline in self.pipelines]
        if coupling is not None:
            check_coupling(coupling, self._able)
        operations.prepare()

    def couple(self, group: int, views: list[dict]) -> None:
        """Draw the difficulties of the pairs of a group, if they are coupled.

        Args:
            group (int): Number of the group, from 0.
            views (list[dict]): The result dicts of its views, which get the key ``difficulties``.
        """
        if self.coupling is None:
            return
        for i in range(0, len(views), 2):
            drawn = draw_difficulties(self.coupling, self._able[group])
            for view in views[i : i + 2]:
                view['difficulties'] = drawn

    def transform(self, results: dict) -> dict | None:
        """Make the views.

        Args:
            results (dict): Result dict of the pipeline so far, with the decoded image.

        Returns:
            dict | None: The result dict with the list of views, or None if a transform dropped one.
        """
        images: list[np.ndarray] = []
        params: list[list] = []
        mutable = [
            key for key, value in results.items() if key != 'img' and not _is_immutable(value)
        ]
        for group, (num, pipeline) in enumerate(zip(self.num_views, self.pipelines, strict=True)):
            share = _makes_new_image([pipeline])
            start = [_start_view(results, mutable, share) for _ in range(num)]
            self.couple(group, start)
            views = transform_views(pipeline, start)
            if views is None:
                return None
            images.extend(operations.finish(view['img']) for view in views)
            params.extend(view['view_params'] for view in views)
        results['img'] = images
        results['view_params'] = params
        return results

    def __repr__(self) -> str:
        groups = ', '.join(
            f'{num} x {pipeline}'
            for num, pipeline in zip(self.num_views, self.pipelines, strict=True)
        )
        coupling = '' if self.coupling is None else f', coupling={self.coupling}'
        return f'{self.__class__.__name__}({groups}{coupling})'


def _start_view(results: dict, mutable: list[str], share_image: bool) -> dict:
    view = results.copy()
    for key in mutable:
        view[key] = copy.deepcopy(view[key])
    if not share_image:
        view['img'] = view['img'].copy()
    else:
        view['img'] = operations.begin(view['img'])
    view['view_params'] = []
    return view


def _is_immutable(value: Any) -> bool:
    return type(value) in _IMMUTABLE or (
        type(value) is tuple and all(type(item) in _IMMUTABLE for item in value)
    )


@TRANSFORMS.register_module()
class PerView(PairTransform):
    """Apply one pipeline to view 1 of each pair and another to view 2.

    It is for recipes whose views differ, such as BYOL's and MoCo v3's solarization.

    Args:
        transforms (list[list[dict | callable]]): Two pipelines of single-view transforms; an empty
            one leaves its view as it is.

    Raises:
        TypeError: One of the transforms is joint, or ``transforms`` has a wrong form.
        ValueError: The number of pipelines is not two.

    Examples:
        >>> dict(type='PerView', transforms=[[], [dict(type='Solarize', thr=128, prob=0.2)]])
    """

    takes_deferred = True

    def __init__(self, transforms: Sequence[Sequence[Transform]]) -> None:
        self.pipelines = _build_pipelines('PerView', transforms)
        if len(self.pipelines) != 2:
            raise ValueError(
                'PerView transforms must hold two pipelines, one for each view of a pair, got '
                f'{len(self.pipelines)}'
            )
        for pipeline in self.pipelines:
            refuse_pair_transforms(pipeline, 'PerView')

    def transform_pair(self, views: list[dict]) -> list[dict] | None:
        outputs = []
        for pipeline, view in zip(self.pipelines, views, strict=True):
            single = transform_views(pipeline, [view])
            if single is None:
                return None
            outputs.extend(single)
        return outputs

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}({self.pipelines})'


@TRANSFORMS.register_module()
class JointChoice(PairTransform):
    """Choose one of several pipelines for each pair, the same one for both views.

    With ``JointCrop`` in one and ``JointBlur`` in the other it is the combination of appendix F of
    arXiv 2412.16522, which is better than both at once.

    Args:
        transforms (list[list[dict | callable]]): The pipelines to choose from, joint or not.
        prob (list[float], optional): Probability of each pipeline, summing to 1. Defaults to None,
            equal probabilities.

    Raises:
        TypeError: ``transforms`` has a wrong form.
        ValueError: ``prob`` does not fit, or there is no pipeline.

    Examples:
        >>> dict(type='JointChoice', prob=[0.5, 0.5], transforms=[
        >>>     [dict(type='JointCrop', scale=224, beta=0),
        >>>      dict(type='JointBlur', prob=0.5, beta=None)],
        >>>     [dict(type='JointCrop', scale=224, beta=None),
        >>>      dict(type='JointBlur', prob=0.5, beta=0)],
        >>> ])
    """

    takes_deferred = True

    def __init__(
        self, transforms: Sequence[Sequence[Transform]], prob: Sequence[float] | None = None
    ) -> None:
        self.pipelines = _build_pipelines('JointChoice', transforms)
        if not self.pipelines:
            raise ValueError('JointChoice transforms must hold at least one pipeline')
        if prob is None:
            prob = [1 / len(self.pipelines)] * len(self.pipelines)
        self.prob = [check_probability('prob', p) for p in prob]
        if len(self.prob) != len(self.pipelines) or abs(sum(self.prob) - 1) > 1e-6:
            raise ValueError(
                f'prob must hold {len(self.pipelines)} probabilities that sum to 1, got {prob!r}'
            )

    @property
    def makes_new_image(self) -> bool:  # type: ignore[override]  # as its pipelines do
        return _makes_new_image(self.pipelines)

    def transform_pair(self, views: list[dict]) -> list[dict] | None:
        chosen = np.random.choice(len(self.pipelines), p=self.prob)
        return transform_views(self.pipelines[chosen], views)

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}({self.pipelines}, prob={self.prob})'
