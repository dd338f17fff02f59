"""LU with partial pivoting, and Cholesky's factor: panels of columns are factored, and what they make is taken off the rest.

A panel is turned, so that its columns lie in rows: vectors run down them. Sources: Golub and Van Loan, Matrix Computations, 3.2.11, 4.2.6.
"""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO
from ingot.ir.lower.matrices.blocks import Matrix, Products, span, turned
from ingot.ir.lower.matrices.vectors import ONE, less, swapped
from ingot.ir.lower.writer import KernelWriter
from ingot.ir.size import ceil_div, smaller
from ingot.ir.types import Dim

__all__ = ["LU", "Cholesky"]

i64 = dtypes.i64


class LU:
    """The factorization of one (m, n) matrix in place. `perm`: where its permutation lies."""

    def __init__(self, w: KernelWriter, dtype: DType, width: int, block: int, m: Dim, n: Dim):
        self.w, self.dtype, self.width, self.block, self.m, self.n = w, dtype, width, block, m, n
        self.panel = w.scratch(dtype, block * m, "worker")
        self.pivots = w.scratch(i64, block, "worker")
        self.products = Products(w, dtype, width, m, block)

    def run(self, a: Matrix, perm: str, perm_at: Index, sign: str, sign_at: Index) -> None:
        """Factor the matrix."""
        w, m, n, dtype = self.w, self.m, self.n, self.dtype
        with w.loop("serial", m) as i:
            w.store(perm, ix.add(perm_at, i), w.index_value(i))
        self.sign = w.acc(dtype, 1)
        with w.loop("serial", ceil_div(smaller(m, n), self.block)) as step:
            k0 = ix.mul(step, self.block)
            count = span(w.rest(step, self.block, smaller(m, n)))
            k1 = ix.add(k0, count)
            rows = ix.sub(ix.const(m), k0)
            panel = Matrix(self.panel, ZERO, m)
            turned(w, dtype, panel, a.behind(k0, k0), rows, count)
            with w.loop("serial", count) as j:
                self._column(panel, rows, count, j, perm, ix.add(perm_at, k0))
            turned(w, dtype, a.behind(k0, k0), panel, count, rows)
            with w.loop("serial", count) as j:
                p = w.as_index(w.load(self.pivots, j, i64, pinned=True))
                with w.when(w.ne(w.index_value(p), w.index_value(j))):
                    here, there = ix.add(k0, j), ix.add(k0, p)
                    swapped(w, dtype, self.width, a.behind(here, ZERO), a.behind(there, ZERO), k0)
                    swapped(w, dtype, self.width, a.behind(here, k1), a.behind(there, k1), ix.sub(ix.const(n), k1))
            self.products.take_off(
                a.behind(k1, k1), ix.sub(ix.const(m), k1), ix.sub(ix.const(n), k1), panel.T.behind(count, ZERO), a.behind(k0, k1), count,
                self.products.solver(panel.T, count, True),
            )  # fmt: skip
        w.store(sign, sign_at, w.get_acc(self.sign, dtype))

    def _column(self, panel: Matrix, rows: Index, count: Index, j: Index, perm: str, perm_at: Index) -> None:
        """Eliminate below one column of a turned panel."""
        w, dtype, width = self.w, self.dtype, self.width
        column = panel.behind(j, j)
        best, at = w.acc(dtype, float("-inf")), w.acc(dtypes.i32, (1 << 31) - 1)
        with w.loop("vector", ix.sub(rows, j), width) as v:
            x = w.abs(w.load(column.buf, column.place(ZERO, v), dtype, pinned=True))
            w.reduce((best, at), "argmax_narrow", (x, w.cast(w.index_value(v), dtypes.i32)))
        p = ix.add(j, w.as_index(w.cast(w.get_acc(at, dtypes.i32), i64)))
        moved = w.ne(w.index_value(p), w.index_value(j))
        w.store(self.pivots, j, w.index_value(p))
        with w.when(moved):
            _one_swap(w, dtype, panel.buf, count, lambda i: (panel.place(i, j), panel.place(i, p)))
            _one_swap(w, i64, perm, ix.const(1), lambda i: (ix.add(perm_at, j), ix.add(perm_at, p)))
            w.set_acc(self.sign, w.neg(w.get_acc(self.sign, dtype)))
        pivot = w.load(column.buf, column.at, dtype, pinned=True)
        by = w.select(w.eq(pivot, 0), w.const(1, dtype), pivot)
        below = column.behind(ZERO, ONE)
        left = ix.sub(ix.sub(rows, j), ONE)
        with w.loop("vector", left, width) as v:
            to = below.place(ZERO, v)
            w.store(below.buf, to, w.div(w.load(below.buf, to, dtype, pinned=True), by))
        with w.loop("serial", ix.sub(ix.sub(count, j), ONE)) as q:
            other = panel.behind(ix.add(ix.add(j, ONE), q), j)
            less(w, dtype, width, other.behind(ZERO, ONE), w.load(other.buf, other.at, dtype, pinned=True), below, left)


def _one_swap(w: KernelWriter, dtype: DType, buf: str, count: Index, places: Callable[[Index], tuple[Index, Index]]) -> None:
    """Pairs of elements change places, one pair after the other."""
    with w.loop("serial", count) as i:
        a, b = places(i)
        x, y = w.load(buf, a, dtype, pinned=True), w.load(buf, b, dtype, pinned=True)
        w.store(buf, a, y)
        w.store(buf, b, x)


class Cholesky:
    """The factor of one (n, n) matrix in place, above whose diagonal there are zeros."""

    def __init__(self, w: KernelWriter, dtype: DType, width: int, block: int, n: Dim):
        self.w, self.dtype, self.width, self.block, self.n = w, dtype, width, block, n
        self.panel = w.scratch(dtype, block * n, "worker")
        self.products = Products(w, dtype, width, n, block)

    def run(self, a: Matrix) -> None:
        """Factor the matrix."""
        w, n, dtype = self.w, self.n, self.dtype
        with w.loop("serial", ceil_div(n, self.block)) as step:
            k0 = ix.mul(step, self.block)
            count = span(w.rest(step, self.block, n))
            rows = ix.sub(ix.const(n), k0)
            panel = Matrix(self.panel, ZERO, n)
            turned(w, dtype, panel, a.behind(k0, k0), rows, count)
            with w.loop("serial", count) as j:
                self._column(panel, rows, count, j)
            turned(w, dtype, a.behind(k0, k0), panel, count, rows)
            k1, left = ix.add(k0, count), ix.sub(rows, count)
            self.products.take_off(
                a.behind(k1, k1), left, left, panel.T.behind(count, ZERO), panel.behind(ZERO, count), count, below=True,
            )  # fmt: skip
        with w.loop("serial", n) as i:  # tiles go over the diagonal
            with w.loop("vector", ix.sub(ix.const(n - 1), i), self.width) as v:
                w.store(a.buf, a.place(i, ix.add(ix.add(i, ONE), v)), w.const(0, dtype))

    def _column(self, panel: Matrix, rows: Index, count: Index, j: Index) -> None:
        """Finish one column of a turned panel, and take it off the later ones."""
        w, dtype, width = self.w, self.dtype, self.width
        column = panel.behind(j, j)
        pivot = w.load(column.buf, column.at, dtype, pinned=True)
        root = w.select(w.gt(pivot, 0), w.sqrt(pivot), w.const(float("nan"), dtype))
        left = ix.sub(ix.sub(rows, j), ONE)
        with w.loop("serial", j) as i:
            w.store(panel.buf, panel.place(j, i), w.const(0, dtype))
        w.store(column.buf, column.at, root)
        below = column.behind(ZERO, ONE)
        with w.loop("vector", left, width) as v:
            to = below.place(ZERO, v)
            w.store(below.buf, to, w.div(w.load(below.buf, to, dtype, pinned=True), root))
        with w.loop("serial", ix.sub(ix.sub(count, j), ONE)) as q:
            i = ix.add(ix.add(j, ONE), q)
            by = w.load(panel.buf, panel.place(j, i), dtype, pinned=True)
            less(w, dtype, width, panel.behind(i, i), by, panel.behind(j, i), ix.sub(rows, i))
