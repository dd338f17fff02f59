"""Arguments that are one number or one for each dimension, and inputs with or without a batch."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor
from ingot.functions.common import as_int
from ingot.ir.size import ShapeError

__all__ = ["batched", "ntuple"]


def ntuple(value: Any, n: int, what: str = "value") -> tuple[int, ...]:
    """`value` for each of n dimensions: an int is repeated. ShapeError if a sequence has another length."""
    if isinstance(value, (tuple, list)):
        if len(value) == 1:
            return (as_int(value[0]),) * n
        if len(value) != n:
            raise ShapeError(f"{what}: expected one integer or {n}, but got {tuple(value)}")
        return tuple(as_int(v) for v in value)
    return (as_int(value),) * n


def batched(name: str, input: Tensor, n: int) -> tuple[Tensor, bool]:
    """(N, C, *) of n spatial dims from (N, C, *) or (C, *), and whether N was added. ShapeError for another rank."""
    if input.ndim == n + 1:
        return input.unsqueeze(0), True
    if input.ndim != n + 2:
        raise ShapeError(f"{name}: expected {n + 1}D (unbatched) or {n + 2}D (batched) input, but got shape {list(input.shape)}")
    return input, False
