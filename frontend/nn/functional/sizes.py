"""Arguments that are one number or one for each dimension; inputs with or without a batch; parameters of their dtype."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor
from ingot.functions.common import as_int
from ingot.ir.dtypes import f32
from ingot.ir.size import ShapeError

__all__ = ["batched", "ntuple", "same_dtype"]


def same_dtype(name: str, input: Tensor, wide: bool = False, **params: Tensor | None) -> None:
    """RuntimeError unless the parameters have the input's dtype; with `wide`, all may be float32 beside a half input."""
    dtype = input.dtype
    wrong = {what: p.dtype for what, p in params.items() if p is not None and p.dtype is not dtype}
    if not wrong or (wide and dtype.bits == 16 and all(d is f32 for d in wrong.values()) and len(wrong) == sum(
        p is not None for p in params.values()
    )):
        return
    what, other = next(iter(wrong.items()))
    raise RuntimeError(f"{name}: expected {what} to have the input's dtype {dtype.torch_name}, but got {other.torch_name}")


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
