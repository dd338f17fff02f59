"""What batching rules share: a rule takes inputs of which some have a batch dim leading, and gives its results likewise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingot.ir.builder import Expr
from ingot.ir.op import OPS
from ingot.ir.types import Dim

__all__ = ["batch_size", "spread", "move_dim", "elementwise_batch", "axis_batch"]

Exprs = Sequence[Expr]


def batch_size(ins: Exprs, batched: Sequence[bool]) -> Dim:
    """The extent of the batch dim."""
    return next(x.shape[0] for x, b in zip(ins, batched) if b)


def spread(ins: Exprs, batched: Sequence[bool]) -> list[Expr]:
    """`ins` with the batch dim each: those without it are repeated along it."""
    n = batch_size(ins, batched)
    return [x if b else x.broadcast((n, *x.shape)) for x, b in zip(ins, batched)]


def move_dim(x: Expr, source: int, to: int) -> Expr:
    """`x` with its dim `source` at place `to`, the others in their order."""
    perm = [i for i in range(x.rank) if i != source]
    perm.insert(to, source)
    return x.transpose(tuple(perm))


def elementwise_batch(name: str) -> Callable:
    """Of an op that broadcasts: the leading batch dims are aligned by extents of 1 behind them."""

    def batch(ins: Exprs, batched: Sequence[bool], *attrs: Any) -> tuple[list[Expr], list[bool]]:
        rank = max(x.rank - b for x, b in zip(ins, batched))
        full = [x.reshape(x.shape[:1] + (1,) * (rank - x.rank + 1) + x.shape[1:]) if b else x for x, b in zip(ins, batched)]
        op = OPS[name]
        return [op(*full, **dict(zip(op.attr_names, attrs)))], [True]

    return batch


def axis_batch(name: str) -> Callable:
    """Of an op along `axis` or `axes`, or along its trailing dims: all inputs batched, the axes one place further."""

    def batch(ins: Exprs, batched: Sequence[bool], *attrs: Any) -> tuple[Exprs, list[bool]]:
        op = OPS[name]
        named = dict(zip(op.attr_names, attrs))
        if "axis" in named:
            named["axis"] += 1
        if "axes" in named:
            named["axes"] = tuple(a + 1 for a in named["axes"])
        outs = op(*spread(ins, batched), **named)
        outs = outs if isinstance(outs, tuple) else (outs,)
        return outs, [True] * len(outs)

    return batch
