"""Translates contrastive configs of mmselfsup 1.x into the names and meanings of mmpretrain.

mmpretrain took mmselfsup's methods over in 2023. What it changed on the way, as both projects' own
sources show: names of transforms and of their arguments; momentum is the share of the new weights,
no longer of the old; a ResNet's stages are counted without the stem; its residual branches start at
zero unless the config says otherwise.
"""

import copy
from typing import Any

import mmpretrain.registry
from mmengine.config import Config
from mmengine.registry import FUNCTIONS, Registry

_TRANSFORMS = {
    # The name there: the name here, the arguments' names here, and what is set beside them.
    'RandomResizedCrop': (
        'RandomResizedCrop',
        {'size': 'scale', 'scale': 'crop_ratio_range', 'ratio': 'aspect_ratio_range'}
        | {name: name for name in ('max_attempts', 'interpolation', 'backend')},
        {},
    ),
    'RandomSolarize': ('Solarize', {'threshold': 'thr', 'prob': 'prob'}, {'thr': 128, 'prob': 0.5}),
    'PackSelfSupInputs': (
        'PackInputs',
        {'key': 'input_key', 'algorithm_keys': 'algorithm_keys', 'meta_keys': 'meta_keys'},
        {},
    ),
}
_BLUR = 'RandomGaussianBlur'
_BLUR_ARGUMENTS = {'type', 'sigma_min', 'sigma_max', 'prob'}
_MOMENTUM = {
    'MoCo': 'momentum',
    'DenseCL': 'momentum',
    'BYOL': 'base_momentum',
    'MoCoV3': 'base_momentum',
}
_WITHOUT_MOMENTUM = {'BarlowTwins', 'SimCLR', 'SimSiam', 'SwAV'}
_BACKBONES = ('ResNet', 'MoCoV3ViT')
# The defaults of mmselfsup's classes.
_DEFAULT_MOMENTUM = {'MoCo': 0.999, 'DenseCL': 0.999, 'BYOL': 0.996, 'MoCoV3': 0.99}


def is_mmselfsup(cfg: Config) -> bool:
    """Whether a config uses names that only mmselfsup 1.x has.

    Args:
        cfg (Config): A config.
    """
    names = (_BLUR, 'RandomSolarize', 'PackSelfSupInputs', 'mmselfsup', 'SelfSupVisualizer')
    text = str(cfg.to_dict())
    return any(f"'{name}" in text for name in names)


def from_mmselfsup(cfg: Config) -> Config:
    """Translate a contrastive config of mmselfsup 1.x.

    Args:
        cfg (Config): The config; it is left as it is.

    Returns:
        Config: The config for mmpretrain.

    Raises:
        ValueError: Something has no known equal in mmpretrain; the message names it.
    """
    new = Config(_translated(copy.deepcopy(cfg.to_dict())), filename=cfg.filename)
    new.default_scope = 'mmpretrain'
    model = new.get('model')
    if model is not None:
        _translate_model(model)
    _check_types(new.to_dict())
    return new


def _translated(node: Any) -> Any:
    """Return data with the names of mmpretrain; classes first, then their arguments."""
    if isinstance(node, (list, tuple)):
        return type(node)(_translated(item) for item in node)
    if not isinstance(node, dict):
        return node
    node = {key: _translated(value) for key, value in node.items()}
    for key in ('type', 'dataset_type'):
        if isinstance(node.get(key), str):
            node[key] = node[key].removeprefix('mmcls.').removeprefix('mmselfsup.')
    kind = node.get('type')
    if kind == _BLUR:
        _only(node, _BLUR_ARGUMENTS)
        return dict(
            type='GaussianBlur',
            magnitude_range=(node['sigma_min'], node['sigma_max']),
            magnitude_std='inf',
            prob=node.get('prob', 0.5),
        )
    if kind in _TRANSFORMS:
        name, arguments, defaults = _TRANSFORMS[kind]
        _only(node, {'type', *arguments})
        given = {arguments[key]: value for key, value in node.items() if key != 'type'}
        return {'type': name, **defaults, **given}
    if kind == 'SelfSupVisualizer':
        node['type'] = 'UniversalVisualizer'
    return node


def _only(node: dict, known: set[str]) -> None:
    unknown = set(node) - known
    if unknown:
        raise ValueError(
            f"mmselfsup's {node['type']} has {', '.join(sorted(unknown))}, which has no known "
            'equal in mmpretrain'
        )


def _translate_model(model: dict) -> None:
    kind = model.get('type')
    if kind not in _MOMENTUM and kind not in _WITHOUT_MOMENTUM:
        known = ', '.join(sorted({*_MOMENTUM, *_WITHOUT_MOMENTUM}))
        raise ValueError(f"mmselfsup's {kind} is not one of the methods that are known: {known}")
    if kind in _MOMENTUM:
        name = _MOMENTUM[kind]
        kept = model.get(name, _DEFAULT_MOMENTUM[kind])
        model[name] = round(1 - kept, 12)
    backbone = model['backbone']
    if backbone['type'] not in _BACKBONES:
        raise ValueError(
            f"mmselfsup's {backbone['type']} is not one of the backbones that are known: "
            f'{", ".join(_BACKBONES)}'
        )
    if backbone['type'] == 'ResNet':
        stages = list(backbone.get('out_indices', (4,)))
        if min(stages) < 1 or backbone.get('frozen_stages', -1) != -1:
            raise ValueError(
                f"mmselfsup's ResNet has out_indices={stages} and "
                f'frozen_stages={backbone.get("frozen_stages", -1)}: mmpretrain has no output of '
                'the stem, and a frozen backbone learns nothing'
            )
        backbone['out_indices'] = [stage - 1 for stage in stages]
        backbone.setdefault('zero_init_residual', False)
    # There the neck was told that a ViT gives its class token last; here the backbone gives it.
    model['neck'].pop('vit_backbone', None)


def _check_types(node: Any) -> None:
    """Refuse a class that mmpretrain does not have."""
    if isinstance(node, dict):
        kind = node.get('type')
        if isinstance(kind, str) and not any(r.get(kind) for r in _registries()):
            raise ValueError(f"mmselfsup's {kind} has no known equal in mmpretrain")
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for item in node:
            _check_types(item)


def _registries() -> list[Registry]:
    own = [r for r in vars(mmpretrain.registry).values() if isinstance(r, Registry)]
    return [*own, FUNCTIONS]  # of functions mmpretrain has no registry of its own
