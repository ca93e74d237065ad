"""What may make a training step faster: mixed precision, memory layout, compilation.

Each function sets in a config what one flag of ``tools/train.py`` asks for; a config can name the
same settings itself.
"""

from mmengine.config import Config, ConfigDict


def use_amp(cfg: Config) -> None:
    """Set automatic mixed precision.

    On a GPU that is float16 with a loss scaler, or what ``optim_wrapper.dtype`` says; bfloat16,
    whose range is float32's, needs no scaler and gets none. On the CPU it is bfloat16.

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
