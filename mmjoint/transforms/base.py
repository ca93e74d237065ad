"""The contract of joint augmentations: what they draw, what they declare and what they record."""

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from mmcv.transforms import BaseTransform

from ..distributions import JointDistribution

Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class JointParams:
    """Base class of the records of what one view drew, which are small frozen dataclasses.

    Everything that looks at pairs reads a record through the methods below and does not know its
    fields. The defaults fit records whose numeric fields have the names of the declared quantities.
    """

    def joint_values(self) -> dict[str, float | None]:
        """Return the values of the quantities whose distribution the augmentation may declare.

        Returns:
            dict[str, float | None]: Maps the name of each quantity to the value drawn; None if the
            quantity was not applied to this view, such as the sigma of a blur that was left out.
        """
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: float(v) for name, v in values.items() if isinstance(v, (bool, int, float))}

    def done_values(self) -> dict[str, float | None]:
        """Return the values as carried out; rounding or a fallback can move them off the values
        drawn.

        Returns:
            dict[str, float | None]: Like ``joint_values``, which is the default.
        """
        return self.joint_values()

    def box(self) -> Box | None:
        """Return the part of the image that the view shows, if the augmentation cuts one out.

        Returns:
            tuple[float, float, float, float] | None: (x, y, width, height); x and width are
            fractions of the image's width, y and height of its height. Defaults to None.
        """
        return None

    def describe(self) -> str:
        """Return one line that tells people what was drawn."""
        values = dataclasses.asdict(self).items()
        told = [f'{k} {v:.4g}' if isinstance(v, float) else f'{k} {v}' for k, v in values]
        return f'{type(self).__name__}: {", ".join(told)}'


@dataclasses.dataclass
class JointQuantity:
    """One quantity that an augmentation draws for both views of a pair.

    How much the views of a pair differ in this quantity is one number, t: the natural logarithm of
    the ratio of view 2 to view 1 if the space is ``'ratio'``, and view 2 minus view 1 if it is
    ``'difference'``. A subclass may measure pairs in another way (space ``'pair'``).

    Args:
        name (str): The key in ``JointParams.joint_values``, in logs (``pairs/NAME``) and in
            ``--beta CLASS.NAME=...``. Unique among all augmentations that a config can combine.
        law (JointDistribution, optional): The distribution of pairs, or another object with the
            same methods. It is read again for every pair, so it may be replaced at any time (as
            fixed ratios do). None if it is not known, or if the quantity is only measured.
        title (str): The name on charts and pages, such as ``'crop area'``. Defaults to ``name``.
        unit (str): Written after differences, including a leading space if any. Defaults to ''.
        note (str): What a reader of the chart should know. Defaults to ''.
        space (str): ``'ratio'``, ``'difference'`` or ``'pair'``. Defaults to the space of ``law``,
            or to ``'ratio'`` without one.
    """

    name: str
    law: JointDistribution | Any
    title: str = ''
    unit: str = ''
    note: str = ''
    space: str = ''
    #: The value of the distribution function of |t| for the next pair, where ``JointView`` couples
    #: quantities; None if the law draws it.
    difficulty: float | None = dataclasses.field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.title = self.title or self.name
        self.space = self.space or (self.law.space if self.law else 'ratio')

    def sample(self) -> tuple[float, float]:
        """Draw the values of view 1 and of view 2."""
        if self.difficulty is None:
            return self.law.sample()
        return self.law.sample(self.difficulty)

    def declared_by(self, record: JointParams) -> bool:
        """Whether a record has a value for this quantity."""
        return self.name in record.joint_values()

    def compare(self, first: JointParams, second: JointParams, done: bool = False) -> float | None:
        """Measure how much the views of a pair differ.

        Args:
            first, second (JointParams): The records of view 1 and of view 2.
            done (bool): Whether to compare the values carried out instead of those drawn. Defaults
                to False.

        Returns:
            float | None: t; None if the quantity was not applied to both views or the ratio is
            undefined.
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
        """Describe how much the views of a pair differ, such as ``'crop area 1 : 1.52'``."""
        if self.space == 'ratio':
            return f'{self.title} 1 : {math.exp(abs(t)):.2f}'
        return f'{self.title} {abs(t):.3g}{self.unit} apart'


@dataclasses.dataclass
class AppliedToOne(JointQuantity):
    """Whether one view of the pair has a property, such as being mirrored, and the other has not.

    t is -1 if only view 1 has it, 1 if only view 2 has it, and 0 if both are alike.
    """

    space: str = 'difference'
    note: str = 'Second minus first view: 0 if both are alike, 1 or -1 if one of them is applied.'

    def describe(self, t: float) -> str:
        return f'{self.title} of one view only' if t else f'{self.title} alike'


@dataclasses.dataclass
class CenterDistance(JointQuantity):
    """The distance between the centers of the two boxes.

    x is measured in widths and y in heights of the image. With a law, the value drawn is in the
    records; without one it is that of the boxes.
    """

    name: str = 'distance'
    law: JointDistribution | Any = None
    title: str = 'distance of the centers'
    note: str = 'In widths and heights of the photo, from 0 to 1.41; it has no closed form.'
    space: str = 'pair'

    def declared_by(self, record: JointParams) -> bool:
        return record.box() is not None

    def compare(self, first: JointParams, second: JointParams, done: bool = False) -> float | None:
        if self.law is not None and not done:
            return first.joint_values().get(self.name)
        boxes = [box for box in (first.box(), second.box()) if box is not None]
        if len(boxes) < 2:
            return None
        return math.dist(*[(x + width / 2, y + height / 2) for x, y, width, height in boxes])

    def describe(self, t: float) -> str:
        return f'centers {t:.2f} apart'


class Declaration:
    """What an augmentation declares about itself to everything that looks at pairs.

    Statistics, ``PairStatsHook``, the pages, SDF, fixed ratios and ``--beta`` read this.
    """

    #: The joint quantities, in the order in which they are shown.
    joint: tuple[JointQuantity, ...] = ()
    #: The argument of the constructor that ``--beta`` sets. It takes None or a number; if the
    #: augmentation declares several distributions, also a dict from a quantity's name to either.
    beta_argument: ClassVar[str] = 'beta'

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape (height, width, ...) of a view after this transform.

        Statistics draw without pixels and therefore ask for the shape. By default it does not
        change.
        """
        return shape


class PairTransform(BaseTransform):
    """A transform that sees the two views of a positive pair at once.

    Only ``JointView`` can run one, since only it holds both views.
    """

    #: Whether ``transform_pair`` accepts images whose pixels are not made yet
    #: (``pixels.Deferred``). This is read from the class itself and not inherited, since a subclass
    #: may look at pixels.
    takes_deferred: ClassVar[bool] = False
    #: Whether the input image is left untouched, so that views may share it.
    makes_new_image: bool = False
    #: The pipelines within a transform that holds others; transforms may be replaced in them.
    pipelines: Sequence[list] = ()

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
    """Base class of joint augmentations: draws the parameters of a pair, applies one to each view.

    A new joint augmentation consists of two methods and a declaration. ``sample`` draws and touches
    no pixel; ``apply`` draws nothing, so ``apply`` with recorded parameters gives the same pixels
    again. ``joint``, set by the constructor, names the quantities that are drawn jointly and their
    distributions; through it the augmentation appears in the statistics, in the logs of
    ``PairStatsHook``, on the pages, in SDF by beta and in ``--beta``. Source: the JointAugmentation
    framework of arXiv 2412.16522, section 3.4.

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
            results (dict): The result dict of view 1; draws may depend on it (on the image size).

        Returns:
            tuple: Parameters of view 1 and of view 2: frozen dataclasses, ``JointParams``.
        """

    @abstractmethod
    def apply(self, results: dict, params: Any) -> dict:
        """Apply one view's parameters to that view.

        Args:
            results (dict): The result dict of the view.
            params: Parameters from ``sample``, or those that an earlier run recorded.

        Returns:
            dict: The result dict.
        """

    def draw(self, results: dict) -> tuple[Any, Any]:
        """Draw the parameters of one pair by ``sample``, with the difficulties that are coupled."""
        difficulties = results.get('difficulties', {})
        for quantity in self.joint:
            quantity.difficulty = difficulties.get(quantity.name)
        return self.sample(results)

    def transform_pair(self, views: list[dict]) -> list[dict]:
        outputs = []
        for view, params in zip(views, self.draw(views[0]), strict=True):
            view = self.apply(view, params)
            view['view_params'].append((type(self).__name__, params))
            outputs.append(view)
        return outputs
