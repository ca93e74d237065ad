"""What a joint augmentation is, and the record of what it drew."""

from abc import abstractmethod
from functools import cache
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from ..pixels import compiled


class PairTransform(BaseTransform):
    """A transform that sees the two views of a positive pair at once.

    Only ``JointView`` can run one, since only it holds both views.
    """

    @abstractmethod
    def transform_pair(self, views: list[dict]) -> list[dict] | None:
        """Transform the two views of one pair.

        Args:
            views (list[dict]): The result dicts of view 1 and view 2.

        Returns:
            list[dict] | None: Both result dicts, or None to drop the image, as mmcv's pipelines do.
        """

    def transform(self, results: dict) -> dict:
        raise TypeError(
            f'{type(self).__name__} draws for a pair of views and works only directly inside '
            "JointView (or JointChoice): wrap the pipeline as dict(type='JointView', num_views=2, "
            'transforms=[[...]])'
        )


class JointTransform(PairTransform):
    """Base class of joint augmentations: draw the parameters of a pair, apply one to each view.

    A new joint augmentation is two methods. ``sample`` draws and touches no pixel; ``apply`` draws
    nothing, so ``apply`` with recorded parameters gives the same pixels again. Source: the
    JointAugmentation framework of arXiv 2412.16522, section 3.4.

    What was drawn is appended to the view's ``view_params``, a list of ``(class name, params)``
    in the order of the pipeline.

    A class with ``takes_deferred = True`` may get ``compiled.Deferred`` for an image in ``apply``,
    to which it adds what it does; all others get arrays.

    Modified Keys:

    - view_params
    """

    @abstractmethod
    def sample(self, results: dict) -> tuple[Any, Any]:
        """Draw the parameters of one pair.

        Args:
            results (dict): The result dict of view 1, for what the draw depends on (image size).

        Returns:
            tuple: Parameters of view 1 and of view 2: small frozen dataclasses.
        """

    @abstractmethod
    def apply(self, results: dict, params: Any) -> dict:
        """Apply one view's parameters to that view.

        Args:
            results (dict): The result dict of the view.
            params: What ``sample`` gave, or what an earlier run recorded.

        Returns:
            dict: The result dict.
        """

    def transform_pair(self, views: list[dict]) -> list[dict]:
        outputs = []
        for view, params in zip(views, self.sample(views[0]), strict=True):
            view = self.apply(view, params)
            view['view_params'].append((type(self).__name__, params))
            outputs.append(view)
        return outputs


def transform_views(transforms: list, views: list[dict]) -> list[dict] | None:
    """Take views through a pipeline side by side: pair transforms by pairs, others one by one.

    Args:
        transforms (list): Transform objects.
        views (list[dict]): Result dicts; they pair up in order (1-2, 3-4, ...).

    Returns:
        list[dict] | None: The result dicts, or None if a transform dropped a view.
    """
    for transform in transforms:
        sees_pairs, takes_deferred = _traits(type(transform))
        if not takes_deferred:
            for view in views:
                view['img'] = compiled.array_of(view['img'])
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
                view['img'] = _unflip_strides(view['img'])
        views = outputs
    return views


@cache
def _traits(kind: type) -> tuple[bool, bool]:
    """Whether transforms of a class see pairs, and whether they take ``compiled.Deferred`` images.

    The second is asked of the class itself, not of its bases: a subclass may look at pixels.
    """
    return issubclass(kind, PairTransform), vars(kind).get('takes_deferred', False)


def _unflip_strides(img: Any) -> Any:
    """Make an image that stock RandomFlip gave contiguous; leave anything else as it is.

    It flips by negative strides, on which everything after it would be several times slower.
    """
    if isinstance(img, np.ndarray) and img.strides[1] < 0:
        upright = img[:, ::-1]
        if upright.flags.c_contiguous:
            return cv2.flip(upright, 1).reshape(img.shape)
        if img.dtype == np.uint8 and img.ndim == 3:
            return compiled.planes(img).transpose(1, 2, 0)
    return img


def refuse_pair_transforms(transforms: list, where: str) -> None:
    """Raise if a transform that needs a pair sits where only one view passes.

    Args:
        transforms (list): Transform objects; stock wrappers among them are looked into.
        where (str): Words for the error message, such as ``'PerView'``.

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


def check_probability(name: str, prob: Any) -> float:
    """Return ``prob`` as a float; raise ValueError naming ``name`` unless it lies in [0, 1]."""
    if isinstance(prob, bool) or not isinstance(prob, (int, float)) or not 0 <= prob <= 1:
        raise ValueError(f'{name} must be a probability in [0, 1], got {prob!r}')
    return float(prob)


def check_range(name: str, limits: Any) -> tuple[float, float]:
    """Return ``limits`` as two floats; raise ValueError naming ``name`` unless 0 < low <= high."""
    try:
        low, high = (float(limit) for limit in limits)
    except (TypeError, ValueError):
        raise ValueError(f'{name} must be two numbers (low, high), got {limits!r}') from None
    if not 0 < low <= high < float('inf'):
        raise ValueError(f'{name} must hold 0 < low <= high, got {limits!r}')
    return low, high
