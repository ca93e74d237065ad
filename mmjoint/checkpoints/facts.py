"""Facts about a checkpoint's network that names and shapes of weights do not show."""

import re
from collections.abc import Mapping

from torch import nn

from ..utils.literals import read_assignments

# Defaults of mmpretrain's ResNet, used where the config does not set a value.
_DEFAULTS = dict(style='pytorch', strides=(1, 2, 2, 2), dilations=(1, 1, 1, 1), eps=1e-5)


def saved_config(checkpoint: Mapping) -> dict[str, object]:
    """Read the config that mmengine saves as text; it is never run.

    Args:
        checkpoint (Mapping): The content of the file.

    Returns:
        dict[str, object]: The settings; empty if there is no config.
    """
    meta = checkpoint.get('meta')
    text = meta.get('cfg', meta.get('config')) if isinstance(meta, dict) else None
    return read_assignments(text)[0] if isinstance(text, str) else {}


def algorithm(checkpoint: Mapping) -> str | None:
    """Return ``model.type`` of the saved config."""
    model = saved_config(checkpoint).get('model')
    kind = model.get('type') if isinstance(model, dict) else None
    return kind if isinstance(kind, str) else None


def normalization(checkpoint: Mapping) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and standard deviation of R, G and B, from 0 to 1, of the saved config."""
    cfg = saved_config(checkpoint)
    model = cfg.get('model')
    settings = cfg.get('data_preprocessor')
    if not isinstance(settings, dict):
        settings = model.get('data_preprocessor') if isinstance(model, dict) else None
    if not isinstance(settings, dict):
        return None
    parts = []
    for key in ('mean', 'std'):
        values = settings.get(key)
        if not isinstance(values, (list, tuple)) or len(values) != 3:
            return None
        if not all(isinstance(value, (int, float)) for value in values):
            return None
        parts.append(tuple(round(value / 255, 6) for value in values))
    mean, std = parts
    # Without `to_rgb` the numbers are in the order of the images, BGR.
    return (mean, std) if settings.get('to_rgb', False) else (mean[::-1], std[::-1])


def resnet_facts(checkpoint: Mapping) -> dict[str, object]:
    """Return properties of a checkpoint's ResNet that the shapes of its weights do not show.

    Args:
        checkpoint (Mapping): The content of the file.

    Returns:
        dict[str, object]: ``style``, ``strides``, ``dilations``, ``eps`` of the norms and possibly
        ``depth``, from a saved config whose backbone is a ResNet; ``depth`` from an ``arch`` such
        as ``'resnet50'``; empty if the file says nothing about it.
    """
    arch = checkpoint.get('arch')
    named = re.fullmatch(r'resnet(\d+)', arch) if isinstance(arch, str) else None
    facts: dict[str, object] = {'depth': int(named[1])} if named else {}
    if isinstance(arch, str) and 'blur' in arch:
        facts['style'] = arch
    model = saved_config(checkpoint).get('model')
    backbone = model.get('backbone') if isinstance(model, dict) else None
    backbone = backbone if isinstance(backbone, dict) else {}
    if re.fullmatch(r'(\w+\.)?ResNet(_CIFAR|V1c|V1d)?', str(backbone.get('type'))):
        norm = backbone.get('norm_cfg')
        told = backbone | {'eps': norm.get('eps', 1e-5) if isinstance(norm, dict) else 1e-5}
        facts |= {key: _plain(told.get(key, value)) for key, value in _DEFAULTS.items()}
        if isinstance(backbone.get('depth'), int):
            facts['depth'] = backbone['depth']
    return facts


def _plain(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def differences(facts: Mapping[str, object], network: Mapping[str, object]) -> str:
    """Describe how a network differs from the one that a checkpoint describes.

    Args:
        facts (Mapping[str, object]): Facts from ``resnet_facts``.
        network (Mapping[str, object]): Facts of the network; facts that it lacks are not compared.

    Returns:
        str: One line; empty if there is no difference.
    """
    return ', '.join(
        f'{key} {value!r} instead of {network[key]!r}'
        for key, value in facts.items()
        if key in network and network[key] != value
    )


def contradiction(model: nn.Module, checkpoint: Mapping) -> str:
    """Describe how a backbone differs from the one that a checkpoint describes.

    Args:
        model (nn.Module): A backbone.
        checkpoint (Mapping): The content of the file.

    Returns:
        str: One line; empty if there is no difference or the file says nothing about it.
    """
    network = {
        key: _plain(getattr(model, key))
        for key in ('style', 'strides', 'dilations', 'depth')
        if hasattr(model, key)
    }
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if network and norms:
        network['eps'] = norms[0].eps
    told = differences(resnet_facts(checkpoint), network)
    return told and f'the file tells of a backbone with {told}'


def plain_network() -> dict[str, object]:
    """Return the facts of the ResNet that torchvision, timm and the detection recipes use."""
    return dict(_DEFAULTS)
