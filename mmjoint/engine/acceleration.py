"""Settings that may make a training step faster: mixed precision, memory layout, compilation.

Each function makes the settings in a config for which one flag of ``tools/train.py`` asks; a config
can also contain the same settings itself.
"""

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log


def suits_channels_last(cfg: Config, device: str) -> bool:
    """Tell whether channels last is the better default for a model on a device.

    On the CPU it is always faster. On a GPU the convolution kernels in half precision are made for
    it: 2,062 pairs/s against 1,146 in bfloat16, for SimCLR with a ResNet-50 in a bare loop on an
    H100. A vision transformer has only one convolution and gains nothing.

    Args:
        cfg (Config): A config with a ``model``.
        device (str): The device as mmengine's ``get_device`` returns it: ``'cpu'``, ``'cuda'``, ...

    Returns:
        bool: Whether to use ``use_channels_last``.
    """
    if device == 'cpu':
        return True
    wrapper = (cfg.get('model_wrapper_cfg') or {}).get('type', 'MMDistributedDataParallel')
    kind = str(((cfg.get('model') or {}).get('backbone') or {}).get('type', ''))
    plain = 'runner_type' not in cfg and wrapper == 'MMDistributedDataParallel'
    return device == 'cuda' and plain and not any(word in kind for word in _TRANSFORMERS)


# Parts of the names of backbones that have at most a first convolution.
_TRANSFORMERS = ('VisionTransformer', 'ViT', 'BEiT', 'DeiT', 'Swin', 'Mixer')


def use_tf32(device: str) -> None:
    """Compute float32 products on a GPU in TF32, and log one line about it.

    TF32 keeps float32's range and 10 of its 23 bits; torch enables it only for convolutions.

    Args:
        device (str): The device from mmengine's ``get_device``; only ``'cuda'`` has an effect.
    """
    if device == 'cuda':
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        print_log('GPU: float32 convolutions and matrix products are computed in TF32')


def use_amp(cfg: Config) -> None:
    """Enable automatic mixed precision.

    On a GPU this is float16 with a loss scaler, or the type in ``optim_wrapper.dtype``; bfloat16
    has float32's range and needs no scaler, so it gets none. float16 is the default because it was
    faster: 2,491 pairs/s against 2,062 in bfloat16, both with channels last, for SimCLR with a
    ResNet-50 in a bare loop on an H100. If the loss becomes infinite, use bfloat16. On the CPU the
    type is bfloat16.

    Args:
        cfg (Config): The config; changed in place.

    Raises:
        ValueError: If ``optim_wrapper`` has another type, which this would replace.
    """
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    if getattr(kind, '__name__', kind).split('.')[-1] not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(
            f'--amp: optim_wrapper.type is {kind}, which it would replace; use OptimWrapper or '
            'AmpOptimWrapper'
        )
    wrapper.type = 'AmpOptimWrapper'
    without_scaler = dict(enabled=False)
    bfloat16 = wrapper.get('dtype') == 'bfloat16'
    wrapper.setdefault('loss_scale', without_scaler if bfloat16 else 'dynamic')


def use_channels_last(cfg: Config) -> None:
    """Store convolutions with the channels last; see ``ChannelsLastHook``.

    Args:
        cfg (Config): The config; changed in place.
    """
    _add_hook(cfg, 'ChannelsLastHook')


def use_compile(cfg: Config) -> None:
    """Compile the backbones; see ``CompileHook``.

    Args:
        cfg (Config): The config; changed in place.

    Raises:
        ValueError: If the config sets mmengine's ``compile``, which would compile the same again.
    """
    if cfg.get('compile'):
        raise ValueError(
            "--compile: the config sets mmengine's compile, which compiles the whole training step "
            'already; drop one of the two'
        )
    _add_hook(cfg, 'CompileHook')


def _add_hook(cfg: Config, kind: str) -> None:
    hooks = cfg.get('custom_hooks') or []
    if not any(kind in str(hook.get('type')) for hook in hooks):
        cfg.custom_hooks = [*hooks, ConfigDict(type=kind)]
