"""The contract of joint augmentations: what they draw, what they declare, what they record."""

import dataclasses
import math
from abc import abstractmethod
from typing import Any, ClassVar

from mmcv.transforms import BaseTransform

from ..distributions import JointDistribution

Box = tuple[float, float, float, float]


class JointParams:
    """Base of the records of what one view drew: small frozen dataclasses.

    Everything that looks at pairs reads a record through the methods below and knows none of its
    fields. The defaults serve records whose numeric fields are named as the declared quantities.
    """

    def joint_values(self) -> dict[str, float | None]:
        """Tell the values of the quantities of which the augmentation may declare the law.

        Returns:
            dict[str, float | None]: Name of the quantity to what was drawn; None where this view
            did not undergo it, as a blur that was left out.
        """
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: float(v) for name, v in values.items() if isinstance(v, (bool, int, float))}

    def done_values(self) -> dict[str, float | None]:
        """Tell the values as carried out, where rounding or a fallback moves them off the draw.

        Returns:
            dict[str, float | None]: As ``joint_values``, which it is by default.
        """
        return self.joint_values()

    def box(self) -> Box | None:
        """Tell which part of the image the view shows, if the augmentation cuts one out.

        Returns:
            tuple[float, float, float, float] | None: (x, y, width, height), x and width as
            fractions of the image's width, y and height of its height. Defaults to None.
        """
        return None

    def describe(self) -> str:
        """Say in a line what was drawn, for people."""
        values = dataclasses.asdict(self).items()
        told = [f'{k} {v:.4g}' if isinstance(v, float) else f'{k} {v}' for k, v in values]
        return f'{type(self).__name__}: {", ".join(told)}'


@dataclasses.dataclass
class JointQuantity:
    """One quantity that an augmentation draws for both views of a pair.

    How far apart the views of a pair are in it is one number, t: the natural logarithm of the
    ratio of view 2 to view 1 where the law's space is ``'ratio'``, and view 2 minus view 1 where
    it is ``'difference'``. A subclass may measure pairs in another way (space ``'pair'``).

    Args:
        name (str): The key of ``JointParams.joint_values``, of logs (``pairs/NAME``) and of
            ``--beta CLASS.NAME=...``. Unique among all augmentations that a config can combine.
        law (JointDistribution, optional): What pairs are drawn from, or another class with the same
            methods. Asked anew for every pair, so that it may be replaced at any time (as fixed
            ratios do). None if it is not known, or if the quantity is only measured.
        title (str): What charts and pages call it, such as ``'crop area'``. Defaults to the name.
        unit (str): Written behind differences, with its space if any. Defaults to none.
        note (str): What a reader of its chart should know. Defaults to nothing.
        space (str): ``'ratio'``, ``'difference'`` or ``'pair'``. Defaults to the law's, and to
            ``'ratio'`` without one.
    """

    name: str
    law: JointDistribution | None
    title: str = ''
    unit: str = ''
    note: str = ''
    space: str = ''

    def __post_init__(self) -> None:
        self.title = self.title or self.name
        self.space = self.space or (self.law.space if self.law else 'ratio')

    def sample(self) -> tuple[float, float]:
        """Draw the values of view 1 and of view 2."""
        return self.law.sample()

    def declared_by(self, record: JointParams) -> bool:
        """Whether a record tells of this quantity."""
        return self.name in record.joint_values()

    def compare(self, first: JointParams, second: JointParams, done: bool = False) -> float | None:
        """Measure how far apart the views of a pair are.

        Args:
            first, second (JointParams): The records of view 1 and of view 2.
            done (bool): Take the values as carried out, not as drawn. Defaults to False.

        Returns:
            float | None: t; None where not both views underwent it, or a ratio has no meaning.
        """
        a, b = (
            (record.done_values() if done else record.joint_values()).get(self.name)
            for record in (first, second)
        )
        if a is None or b is None:
            return None
        if self.space == 'difference':
            return b - a
        return math.log(b / a) if a > 0 and b > 0 else None

    def describe(self, t: float) -> str:
        """Say how far apart a pair is: ``'crop area 1 : 1.52'``."""
        if self.space == 'ratio':
            return f'{self.title} 1 : {math.exp(abs(t)):.2f}'
        return f'{self.title} {abs(t):.3g}{self.unit} apart'


@dataclasses.dataclass
class CenterDistance(JointQuantity):
    """The distance of the centers of the two boxes, x in widths and y in heights of the image."""

    name: str = 'distance'
    law: JointDistribution | None = None
    title: str = 'distance of the centers'
    note: str = 'In widths and heights of the photo, from 0 to 1.41; it has no closed form.'
    space: str = 'pair'

    def declared_by(self, record: JointParams) -> bool:
        return record.box() is not None

    def compare(self, first: JointParams, second: JointParams, done: bool = False) -> float | None:
        boxes = first.box(), second.box()
        if None in boxes:
            return None
        return math.dist(*[(x + width / 2, y + height / 2) for x, y, width, height in boxes])

    def describe(self, t: float) -> str:
        return f'centers {t:.2f} apart'


class Declaration:
    """What an augmentation says about itself to all that looks at pairs, and to nobody else.

    Statistics, ``PairStatsHook``, the pages, SDF, fixed ratios and ``--beta`` read this.
    """

    #: The joint quantities, in the order in which they are told.
    joint: tuple[JointQuantity, ...] = ()
    #: The argument of the constructor that ``--beta`` sets: None or a number, and where an
    #: augmentation declares several laws also a dict, name of the quantity to such a value.
    beta_argument: ClassVar[str] = 'beta'

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Tell the shape of a view, (height, width, ...), that had ``shape`` before.

        Statistics draw without pixels and so have to ask. By default it does not change.
        """
        return shape


class PairTransform(BaseTransform):
    """A transform that sees the two views of a positive pair at once.

    Only ``JointView`` can run one, since only it holds both views.
    """

    #: Whether ``transform_pair`` may get views whose pixels are not made yet
    #: (``pixels.Deferred``) for images. Asked of the class itself, not of its bases, since a
    #: subclass may look at pixels.
    takes_deferred: ClassVar[bool] = False
    #: Whether it leaves the image that it gets untouched, so that the views may share it.
    makes_new_image: bool = False
    #: The pipelines within, of those that hold other transforms: transforms may be replaced there.
    pipelines: list[list] = ()

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


class JointTransform(PairTransform, Declaration):
    """Base class of joint augmentations: draw the parameters of a pair, apply one to each view.

    A new joint augmentation is two methods and a declaration. ``sample`` draws and touches no
    pixel; ``apply`` draws nothing, so ``apply`` with recorded parameters gives the same pixels
    again. ``joint``, set by the constructor, names the quantities that are drawn jointly and their
    laws; with it the augmentation shows in the statistics, in the logs of ``PairStatsHook``, on the
    pages, in SDF by beta and in ``--beta``. Source: the JointAugmentation framework of arXiv
    2412.16522, section 3.4.

    What was drawn is appended to the view's ``view_params``, a list of ``(class name, params)``
    in the order of the pipeline.

    Modified Keys:

    - view_params

    Examples:
        >>> @dataclass(frozen=True)
        >>> class RotationParams(JointParams):
        >>>     angle: float  # degrees, counter-clockwise
        >>>
        >>> @TRANSFORMS.register_module()
        >>> class JointRotation(JointTransform):
        >>>     def __init__(self, limit: float = 30.0, beta: float | None = 0.0) -> None:
        >>>         law = JointDistribution(-limit, limit, beta, space='difference')
        >>>         self.angle = JointQuantity('angle', law, 'rotation', unit='°')
        >>>         self.joint = (self.angle,)
        >>>
        >>>     def sample(self, results: dict) -> tuple[RotationParams, RotationParams]:
        >>>         first, second = self.angle.sample()
        >>>         return RotationParams(first), RotationParams(second)
        >>>
        >>>     def apply(self, results: dict, params: RotationParams) -> dict:
        >>>         results['img'] = mmcv.imrotate(results['img'], -params.angle)
        >>>         return results
    """

    @abstractmethod
    def sample(self, results: dict) -> tuple[Any, Any]:
        """Draw the parameters of one pair.

        Args:
            results (dict): The result dict of view 1, for what the draw depends on (image size).

        Returns:
            tuple: Parameters of view 1 and of view 2: frozen dataclasses, ``JointParams``.
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
