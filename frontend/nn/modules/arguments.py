"""Arguments of Module's methods: the forms of `to`, and names of types for messages."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor
from ingot.ir.dtypes import DType

__all__ = ["parse_to", "type_name"]


def type_name(value: Any) -> str:
    """The name of a value's type, for messages."""
    t = type(value)
    return t.__name__ if t.__module__ == "builtins" else f"{t.__module__}.{t.__name__}"


def parse_to(args: tuple, kwargs: dict) -> tuple[Any, Any, bool]:
    """(device, dtype, non_blocking) of the forms `Module.to` takes."""
    unknown = set(kwargs) - {"device", "dtype", "tensor", "non_blocking", "memory_format"}
    if unknown:
        raise TypeError(f"to() got an unexpected keyword argument '{sorted(unknown)[0]}'")
    device, dtype, non_blocking = kwargs.get("device"), kwargs.get("dtype"), kwargs.get("non_blocking", False)
    tensors = [kwargs["tensor"]] if "tensor" in kwargs else []
    for a in args:
        if isinstance(a, Tensor):
            tensors.append(a)
        elif isinstance(a, DType):
            dtype = a
        elif isinstance(a, bool):
            non_blocking = a
        elif a is not None:
            device = a
    for t in tensors:
        device, dtype = t.device, t.dtype
    return device, dtype, non_blocking
