"""Makes a config of mmpretrain or mmselfsup joint: MultiView becomes JointView."""

import copy
import difflib
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from .config import read_config
from .mmselfsup import from_mmselfsup, is_mmselfsup

# Arguments that have an equal in the joint transform, and their values that do.
_CROP_ARGUMENTS = {
    'type',
    'scale',
    'crop_ratio_range',
    'aspect_ratio_range',
    'interpolation',
    'backend',
    'max_attempts',
}
_BLUR_ARGUMENTS = {'type', 'magnitude_range', 'magnitude_std', 'prob'}


def make_joint(path: str | Path, beta: float | None = 0) -> tuple[Config, Config]:
    """Read a config with views by ``MultiView`` and make its crops joint.

    ``MultiView`` becomes ``JointView``, ``RandomResizedCrop`` ``JointCrop`` with ``beta``, and a
    ``GaussianBlur`` of random strength ``JointBlur`` with ``beta=None``, i.e. as it was. Two
    pipelines of one view each become one pipeline of a pair: what differs between the views is the
    pair of probabilities of the blur, or goes into ``PerView``. A config of mmselfsup 1.x is
    translated for mmpretrain first. All else stays.

    Args:
        path (str | Path): The config of mmpretrain or mmselfsup 1.x, or one that inherits from it;
            a name such as ``mmpretrain::simclr/simclr_resnet50_8xb32-coslr-200e_in1k.py`` too.
        beta (float, optional): JC's beta of the crops; None for independent ones. Defaults to 0.

    Returns:
        tuple[Config, Config]: The stock config and the joint one, without inheritance.

    Raises:
        ValueError: The config is joint already, or has something that would not be the same; the
            message names it. Or there is no such config.
    """
    stock = read_config(path)
    try:
        known = from_mmselfsup(stock) if is_mmselfsup(stock) else stock
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    loader = known.get('train_dataloader') or {}
    pipeline = (loader.get('dataset') or {}).get('pipeline')
    if not isinstance(pipeline, list):
        raise ValueError(f'{path}: it has no train_dataloader.dataset.pipeline')
    kinds = [_kind(step) for step in pipeline]
    if 'JointView' in kinds:
        raise ValueError(f'{path}: its views are joint already')
    if kinds.count('MultiView') != 1:
        raise ValueError(
            f'{path}: its training pipeline ({", ".join(kinds)}) has {kinds.count("MultiView")} '
            'MultiView, so it makes no pairs of views that could be joint'
        )
    joint = copy.deepcopy(known)
    place = kinds.index('MultiView')
    try:
        view = _joint_view(pipeline[place], beta)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    joint.train_dataloader.dataset.pipeline[place] = ConfigDict(view)
    # The variables of which the pipeline was made would show the stock views.
    for name in [key for key in joint if 'pipeline' in key]:
        joint.pop(name)
    imports = joint.get('custom_imports') or dict(imports=[], allow_failed_imports=False)
    joint.custom_imports = dict(imports, imports=[*imports['imports'], 'mmjoint'])
    joint.setdefault('default_scope', 'mmpretrain')
    return stock, joint


def config_diff(stock: Config, joint: Config) -> str:
    """Return the difference of two configs as a unified diff of their texts."""
    before, after = (cfg.pretty_text.splitlines(keepends=True) for cfg in (stock, joint))
    return ''.join(difflib.unified_diff(before, after, 'stock', 'joint', n=1))


def _kind(step: Any) -> str:
    kind = step.get('type') if isinstance(step, dict) else step
    return kind.rpartition('.')[2] if isinstance(kind, str) else getattr(kind, '__name__', 'None')


def _joint_view(view: dict, beta: float | None) -> dict:
    unknown = set(view) - {'type', 'num_views', 'transforms', '_scope_'}
    if unknown:
        raise ValueError(f'MultiView has {", ".join(sorted(unknown))}, which JointView has not')
    groups = [list(group) for group in view['transforms']]
    given = view['num_views']
    numbers = list(given) if isinstance(given, (list, tuple)) else [given]
    if numbers == [1, 1]:
        groups, numbers = [_one_group(*groups)], [2]
    for number in numbers:
        if number % 2:
            raise ValueError(
                f'num_views={given} leaves a view without its pair: joint views come in pairs'
            )
    return dict(
        type='JointView',
        num_views=numbers[0] if len(numbers) == 1 else numbers,
        transforms=[[_joint(step, beta) for step in group] for group in groups],
    )


def _joint(step: dict, beta: float | None) -> dict:
    """Return the joint transform in place of a stock one; others stay."""
    kind = _kind(step)
    if kind == 'RandomResizedCrop':
        _refuse(step, _CROP_ARGUMENTS)
        kept = ('scale', 'crop_ratio_range', 'aspect_ratio_range', 'interpolation')
        if step.get('max_attempts', 10) != 10:
            raise ValueError(f'RandomResizedCrop has max_attempts={step["max_attempts"]}, not 10')
        if step.get('interpolation', 'bilinear') not in ('bilinear', 'bicubic'):
            raise ValueError(f'RandomResizedCrop has interpolation={step["interpolation"]!r}')
        arguments = {key: step[key] for key in kept if key in step}
        return dict(type='JointCrop', **arguments, beta=beta)
    # Others of GaussianBlur, of a fixed radius or another distribution, stay as they are.
    if kind == 'GaussianBlur' and set(step) == _BLUR_ARGUMENTS and step['magnitude_std'] == 'inf':
        sigmas = step['magnitude_range']
        return dict(type='JointBlur', sigma_range=sigmas, prob=step['prob'], beta=None)
    return step


def _refuse(step: dict, known: set[str]) -> None:
    unknown = set(step) - known - {'_scope_'}
    if unknown:
        raise ValueError(
            f'{_kind(step)} has {", ".join(sorted(unknown))}, which has no equal in the joint one'
        )


def _one_group(first: list[dict], second: list[dict]) -> list[dict]:
    """Join the pipelines of two single views into one for a pair."""
    kinds = [[_kind(step) for step in group] for group in (first, second)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f'the two views have other transforms ({", ".join(kinds[0])} and '
            f'{", ".join(kinds[1])}): write the group by hand, what differs in PerView'
        )
    return [_one_step(*steps) for steps in zip(first, second, strict=True)]


def _one_step(first: dict, second: dict) -> dict:
    if first == second:
        return first
    kind = _kind(first)
    if kind == 'GaussianBlur' and {**first, 'prob': 0} == {**second, 'prob': 0}:
        return {**first, 'prob': (first['prob'], second['prob'])}
    if kind == 'RandomResizedCrop':
        raise ValueError(
            f'the crops of the two views differ ({first} and {second}), so they have no common '
            'distribution'
        )
    # A transform that is never applied is left out.
    views = [[] if step.get('prob') == 0 else [step] for step in (first, second)]
    return dict(type='PerView', transforms=views)
