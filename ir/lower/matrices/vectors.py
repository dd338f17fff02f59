"""Rows of matrices in memory, by vectors."""

from __future__ import annotations

from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.points import ZERO
from ingot.ir.lower.matrices.blocks import Extent, Matrix
from ingot.ir.lower.writer import KernelWriter, Scalar

__all__ = ["ONE", "dot", "less", "swapped"]

ONE = ix.const(1)


def less(w: KernelWriter, dtype: DType, width: int, to: Matrix, by: Scalar, row: Matrix, count: Extent) -> None:
    """The first row of `to` less `by` times that of another."""
    f = w.neg(by)
    with w.loop("vector", count, width) as v:
        at = to.place(ZERO, v)
        x = w.load(row.buf, row.place(ZERO, v), dtype, pinned=True)
        w.store(to.buf, at, w.fma(f, x, w.load(to.buf, at, dtype, pinned=True)))


def dot(w: KernelWriter, dtype: DType, width: int, a: Matrix, b: Matrix, count: Extent) -> Scalar:
    """The sum of products of the first rows of two matrices."""
    total = w.acc(dtype, 0)
    with w.loop("vector", count, width) as v:
        w.reduce((total,), "fma", tuple(w.load(x.buf, x.place(ZERO, v), dtype, pinned=True) for x in (a, b)))
    return w.get_acc(total, dtype)


def swapped(w: KernelWriter, dtype: DType, width: int, a: Matrix, b: Matrix, count: Extent) -> None:
    """The first rows of two matrices change places."""
    with w.loop("vector", count, width) as v:
        at, to = a.place(ZERO, v), b.place(ZERO, v)
        x, y = w.load(a.buf, at, dtype, pinned=True), w.load(b.buf, to, dtype, pinned=True)
        w.store(a.buf, at, y)
        w.store(b.buf, to, x)
