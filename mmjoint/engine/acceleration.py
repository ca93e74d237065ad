"""What may make a training step faster: mixed precision, memory layout, compilation.

Each function sets in a config what one flag of ``tools/train.py`` asks for; a config can name the
same settings itself.
"""

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log


def suits_channels_last(cfg: Config, device: str) -> bool:
    """Say whether the channels should lie last where nobody has said so.

    On the CPU it is faster always. On a GPU the kernels of convolutions in half precision are made
    for it: 2,062 pairs/s against 1,146 in bfloat16, SimCLR with a ResNet-50 in a bare loop on an
    H100. A vision transformer has one convolution and gains nothing.

    Args:
        cfg (Config): With a ``model``.
        device (str): As mmengine's ``get_device`` says: ``'cpu'``, ``'cuda'``, ...

    Returns:
        bool: Whether to use ``use_channels_last``.
    """
    if device == 'cpu':
        return True
    wrapper = (cfg.get('model_wrapper_cfg') or {}).get('type', 'MMDistributedDataParallel')
    kind = str(((cfg.get('model') or {}).get('backbone') or {}).get('type', ''))
    plain = 'runner_type' not in cfg and wrapper == 'MMDistributedDataParallel'
    return device == 'cuda' and plain and not any(word in kind for word in _TRANSFORMERS)


# Parts of the names of backbones without convolutions but for the first.
_TRANSFORMERS = ('VisionTransformer', 'ViT', 'BEiT', 'DeiT', 'Swin', 'Mixer')


def use_tf32(device: str) -> None:
    """Compute float32 products on a GPU in TF32, and say so in one line.

    They keep float32's range and 10 of 23 bits; torch has it on for convolutions only.

    Args:
        device (str): As mmengine's ``get_device`` says; nothing happens for others than ``'cuda'``.
    """
    if device == 'cuda':
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        print_log('GPU: float32 convolutions and matrix products are computed in TF32')


def use_amp(cfg: Config) -> None:
    """Set automatic mixed precision.

    On a GPU that is float16 with a loss scaler, or what ``optim_wrapper.dtype`` says; bfloat16,
    whose range is float32's, needs no scaler and gets none. float16 is the default because it was
    the faster: 2,491 pairs/s against 2,062 in bfloat16, both with the channels last, SimCLR with a
    ResNet-50 in a bare loop on an H100; a loss that becomes infinite is a reason for bfloat16. On
    the CPU it is bfloat16.

    Args:
        cfg (Config): Changed in place.

    Raises:
        ValueError: If ``optim_wrapper`` is of a type of its own that this would replace.
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
    """Lay out convolutions with the channels last; see ``ChannelsLastHook``.

    Args:
        cfg (Config): Changed in place.
    """
    _add_hook(cfg, 'ChannelsLastHook')


def use_compile(cfg: Config) -> None:
    """Compile the backbones; see ``CompileHook``.

    Args:
        cfg (Config): Changed in place.

    Raises:
        ValueError: If the config sets mmengine's ``compile``, which compiles the same again.
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
