"""Access to models that a Runner has wrapped for several processes."""

from typing import Any

from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(model: nn.Module) -> Any:
    """Return the model without the wrapper that distributes it over processes.

    Args:
        model (nn.Module): A Runner's model, wrapped or not.

    Returns:
        nn.Module: The model inside the wrapper, or the given model if it is not wrapped.
    """
    return model.module if is_model_wrapper(model) else model
