"""Models that a Runner has wrapped for several processes."""

from typing import Any

from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(model: nn.Module) -> Any:
    """Return the model itself, without the wrapper that spreads it over processes.

    Args:
        model (nn.Module): A Runner's model, wrapped or not.

    Returns:
        nn.Module: What the wrapper holds, or the model as it is.
    """
    return model.module if is_model_wrapper(model) else model
