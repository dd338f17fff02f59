"""Arguments that are one number, or one for each dimension."""

from __future__ import annotations

from typing import Any

from ingot.ir.types import ShapeError

__all__ = ["ntuple"]


def ntuple(value: Any, n: int, what: str = "value") -> tuple[int, ...]:
    """`value` for each of n dimensions: an int is repeated. ShapeError if a sequence has another length."""
    if isinstance(value, (tuple, list)):
        if len(value) == 1:
            return (int(value[0]),) * n
        if len(value) != n:
            raise ShapeError(f"{what}: expected one integer or {n}, but got {tuple(value)}")
        return tuple(int(v) for v in value)
    return (int(value),) * n
