"""Modules made without their initial values."""

from __future__ import annotations

import inspect
from typing import Any

from ingot.nn.modules.module import Module

__all__ = ["skip_init"]


def skip_init(module_cls: type, *args: Any, **kwargs: Any) -> Any:
    """module_cls(*args, **kwargs), whose parameters are then to be set: what they hold meanwhile is not defined.

    RuntimeError for a class that is no Module or whose constructor has no `device`.

    >>> nn.utils.skip_init(nn.Linear, 2, 3).weight.shape
    ingot.Size([3, 2])
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    where = kwargs.pop("device", None) or "cpu"
    return module_cls(*args, **{**kwargs, "device": "meta"}).to_empty(device=where)
