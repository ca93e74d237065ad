"""Compiles the backbones of any algorithm with torch.compile."""

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from ..utils.models import unwrapped


@HOOKS.register_module()
class CompileHook(Hook):
    """Compile the backbone, and the momentum encoder's if there is one, with ``torch.compile``.

    They are compiled in place: names and checkpoints do not change, and runs resume with and
    without the hook. Losses change by rounding only. Preprocessing, loss, optimizer and hooks are
    not compiled: mmengine's own ``compile=True`` compiles the whole training step, including
    everything that cannot be compiled, and takes several times as long to start.

    Args:
        **options: Options of ``torch.compile``, such as ``mode='max-autotune'``. ``dynamic``
            defaults to False: views of another size are compiled separately for that size.

    Raises:
        OSError: At the start of training, if torch.compile does not work on this machine.

    Examples:
        >>> custom_hooks = [dict(type='CompileHook')]
    """

    def __init__(self, **options: object) -> None:
        self.options = dict(dynamic=False) | options

    def before_train(self, runner: Runner) -> None:
        """Compile; the first iterations then take minutes."""
        model = unwrapped(runner.model)
        _check_compiler(next(model.parameters()).device)
        kind = type(model.backbone)
        backbones = [module for module in model.modules() if type(module) is kind]
        for backbone in backbones:
            backbone.compile(**self.options)
        runner.logger.info(
            f'torch.compile for {len(backbones)} {kind.__name__}: the first iterations take minutes'
        )


def _check_compiler(device: torch.device) -> None:
    """Compile a small function, which takes seconds, so that missing parts are reported now."""
    try:
        with torch.no_grad():
            torch.compile(lambda x: (x + 1).relu())(nn.Parameter(torch.zeros(8, device=device)))
    except Exception as error:  # torch wraps the compiler's errors in its own types
        reason = next((line for line in str(error).splitlines() if line.strip()), '')
        raise OSError(
            "torch.compile does not work here: it needs a C++ compiler (g++, or CXX's) with "
            f"Python's headers, and Triton for a GPU ({type(error).__name__}: {reason.strip()})"
        ) from error
