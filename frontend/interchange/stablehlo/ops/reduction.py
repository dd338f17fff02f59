"""Reductions, by what their regions calculate: the IR's where there is one, else pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ingot._tensor import Tensor
from ingot.functions.common import apply, cast
from ingot.interchange.stablehlo.ops.movement import transposed
from ingot.interchange.stablehlo.ops.regions import fold_of
from ingot.interchange.stablehlo.rules import Call, op
from ingot.ir import dtypes

__all__ = ["paired"]

_OWN = {"add": "reduce_sum", "mul": "reduce_prod", "max": "reduce_max", "min": "reduce_min"}
_LOGICAL = {"add": "reduce_or", "max": "reduce_or", "or": "reduce_or", "mul": "reduce_and", "min": "reduce_and", "and": "reduce_and"}


@op("reduce")
def reduce(c: Call, *values: Tensor, dimensions: Any) -> tuple[Tensor, ...]:
    k = len(values) // 2
    inputs, inits = values[:k], values[k:]
    axes = tuple(sorted(dimensions))
    rest = [d for d in range(inputs[0].ndim) if d not in axes]
    shape = tuple(inputs[0].shape[d] for d in rest)
    fold = fold_of(c.regions[0]) if k == 1 else None
    x = inputs[0]
    own = None if fold is None else _LOGICAL.get(fold) if x.dtype is dtypes.bool_ else _OWN.get(fold)
    if not axes:
        return tuple(c.over(0, [*(apply("broadcast", i, attrs=(shape,)) for i in inits), *inputs]))
    if own is not None and not (x.dtype.kind == "c" and fold in ("max", "min")):
        done = [apply("reshape", apply(own, x, attrs=(axes,)), attrs=(shape,))]
    else:
        n: Any = 1
        for d in axes:
            n = n * x.shape[d]
        flat = [apply("reshape", transposed(v, [*axes, *rest]), attrs=((n, *shape),)) for v in inputs]
        if n == 0:
            return tuple(apply("broadcast", i, attrs=(shape,)) for i in inits)
        done = [apply("reshape", v, attrs=(shape,)) for v in paired(c, flat)]
    return tuple(c.over(0, [*(apply("broadcast", i, attrs=(shape,)) for i in inits), *done]))


def paired(c: Call, values: Sequence[Tensor], region: int = 0) -> list[Tensor]:
    """The first dim combined by a region, neighbours first, as one of extent 1."""
    values = list(values)
    n = values[0].shape[0]

    def part(v: Tensor, start: int, stop: int, step: int) -> Tensor:
        return apply("slice", v, attrs=((start, *(0,) * (v.ndim - 1)), (stop, *v.shape[1:]), (step, *(1,) * (v.ndim - 1))))

    while n > 1:
        even = n // 2 * 2
        new = c.over(region, [*(part(v, 0, even, 2) for v in values), *(part(v, 1, even, 2) for v in values)])
        if n % 2:
            new = [apply("concatenate", a, part(v, n - 1, n, 1), attrs=(0,)) for a, v in zip(new, values)]
        values, n = new, even // 2 + n % 2
    return values


@op("map")
def map_(c: Call, *inputs: Tensor, dimensions: Any) -> Tensor:
    (out,) = c.over(0, inputs)
    shape = tuple(inputs[0].shape)
    return out if tuple(out.shape) == shape else apply("broadcast", cast(out, c.dtype), attrs=(shape,))
