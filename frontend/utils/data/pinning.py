"""Batches in memory that a GPU can copy from while the CPU goes on."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor
from ingot.utils._pytree import tree_map

__all__ = ["pin_memory"]


def pin_memory(data: Any, device: Any = None) -> Any:
    """The same lists, tuples and dicts of pinned tensors; what has a method `pin_memory` is what that gives. `device` is accepted.

    RuntimeError for a tensor where there is no GPU.

    >>> ingot.utils.data.pinning.pin_memory({"x": ["a", 1]})
    {'x': ['a', 1]}
    """
    if isinstance(data, Tensor) or not hasattr(data, "pin_memory"):
        return tree_map(lambda x: x.pin_memory() if hasattr(x, "pin_memory") else x, data)
    return data.pin_memory()
