"""`make_tensor`: random tensors to test with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.ir.dtypes import DType

__all__ = ["make_tensor"]


def make_tensor(
    *shape: int | Sequence[int],
    dtype: DType,
    device: Any,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor of random numbers in [low, high); by default [-9, 10) (for floats [-9, 9), for uint8 [0, 10), for bool [0, 2)).

    noncontiguous: every second element of a larger one. exclude_zero: 0 is replaced by the next number.
    ValueError where low is not below high, or both for a noncontiguous tensor in a memory format.

    >>> ingot.testing.make_tensor((2,), dtype=ingot.float32, device="cpu", low=1, high=2) >= 1
    tensor([True, True])
    """
    sizes = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], Sequence) else tuple(shape)  # type: ignore[arg-type]
    if noncontiguous and memory_format is not None:
        raise ValueError("The parameters `noncontiguous` and `memory_format` are mutually exclusive")
    if requires_grad and dtype.kind not in "fc":
        raise ValueError(f"`requires_grad=True` is not supported for integral dtype {dtype}")
    floating = dtype.kind in "fc"
    first, last = {"b": (0, 2), "u": (0, 10), "i": (-9, 10)}.get(dtype.kind, (-9, 9))
    low, high = first if low is None else low, last if high is None else high
    if math.isnan(low) or math.isnan(high) or not low <= high or (low == high and not floating):
        raise ValueError(f"`low` must be less than `high`, but got {low} and {high}")
    twice = bool(noncontiguous and math.prod(sizes) > 1)  # type: ignore[arg-type]
    wanted = (*sizes[:-1], 2 * sizes[-1]) if twice else sizes  # type: ignore[operator]
    if floating:
        wide = dtype if dtype.kind == "c" or dtype is ingot.float64 else ingot.float32
        made = (ingot.rand(wanted, dtype=wide) * (high - low) + low).to(dtype)
    else:
        low, high = math.ceil(low), math.ceil(high)
        made = ingot.randint(low, high, wanted, dtype=ingot.int64).to(dtype)
    if twice:
        made = made[..., ::2]
    if exclude_zero:
        made[made == 0] = ingot.finfo(dtype).tiny if floating else 1
    if memory_format is not None:
        made = made.contiguous(memory_format=memory_format)
    return made.requires_grad_() if requires_grad else made
