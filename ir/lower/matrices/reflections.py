"""QR by Householder's reflections: those of a panel of columns are one product, I - V T V^T, which is applied to all behind it at once.

Sources: Schreiber and Van Loan, A storage-efficient WY representation for products of Householder transformations (1989); Golub and Van
Loan, Matrix Computations, 5.2.3.
"""

from __future__ import annotations

from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO
from ingot.ir.lower.matrices.blocks import Matrix, Products, span, turned
from ingot.ir.lower.matrices.vectors import ONE, dot, less
from ingot.ir.lower.writer import KernelWriter
from ingot.ir.size import ceil_div, larger, smaller
from ingot.ir.types import Dim

__all__ = ["Reflections"]


class Reflections:
    """The factorization of one (m, n) matrix: Q (m, columns), R (columns, n)."""

    def __init__(self, w: KernelWriter, dtype: DType, width: int, block: int, m: Dim, n: Dim, columns: Dim):
        self.w, self.dtype, self.width, self.block = w, dtype, width, block
        self.m, self.n, self.columns, self.count = m, n, columns, smaller(m, n)
        self.work = Matrix(w.scratch(dtype, m * n, "worker"), ZERO, n)
        self.panel = Matrix(w.scratch(dtype, block * m, "worker"), ZERO, m)  # a panel turned: a column, later a vector, to a row
        self.t = Matrix(w.scratch(dtype, ceil_div(self.count, block) * block * block, "worker"), ZERO, block)  # below each other
        self.diagonal = w.scratch(dtype, block, "worker")
        wide = larger(n, columns)
        self.sums = Matrix(w.scratch(dtype, block * wide, "worker"), ZERO, wide)
        self.down = Products(w, dtype, width, block, m)  # V^T C
        self.back = Products(w, dtype, width, m, block)  # V (T V^T C)

    def run(self, q: Matrix, r: Matrix) -> None:
        """Factor what lies in `work`."""
        w, m, n = self.w, self.m, self.n
        blocks = ceil_div(self.count, self.block)
        with w.loop("serial", blocks) as step:
            k0, count, rows, t = self._block(step)
            turned(w, self.dtype, self.panel, self.work.behind(k0, k0), rows, count)
            with w.loop("serial", count) as j:
                self._reflect(rows, count, j, t)
            with w.loop("serial", count) as j:
                w.store(self.panel.buf, self.panel.place(j, j), w.load(self.diagonal, j, self.dtype, pinned=True))
            turned(w, self.dtype, self.work.behind(k0, k0), self.panel, count, rows)
            self._vectors(count)
            k1 = ix.add(k0, count)
            self._apply(self.work.behind(k0, k1), rows, ix.sub(ix.const(n), k1), count, t.T)
        with w.loop("serial", self.columns) as i, w.loop("vector", n, self.width) as v:
            upper = w.ge(w.index_value(v), w.index_value(i))
            w.store(r.buf, r.place(i, v), w.load(self.work.buf, self.work.place(i, v), self.dtype, upper, pinned=True))
        with w.loop("serial", m) as i, w.loop("vector", self.columns, self.width) as v:
            one = w.eq(w.index_value(v), w.index_value(i))
            w.store(q.buf, q.place(i, v), w.select(one, w.const(1, self.dtype), w.const(0, self.dtype)))
        with w.loop("serial", blocks) as step:
            k0, count, rows, t = self._block(ix.sub(ix.const(blocks - 1), step))
            turned(w, self.dtype, self.panel, self.work.behind(k0, k0), rows, count)
            self._vectors(count)
            self._apply(q.behind(k0, k0), rows, ix.sub(ix.const(self.columns), k0), count, t)

    def _block(self, at: Index) -> tuple[Index, Index, Index, Matrix]:
        """Its first column, how many it has, how many rows there are from there on, its T."""
        k0 = ix.mul(at, self.block)
        count = span(self.w.rest(at, self.block, self.count))
        return k0, count, ix.sub(ix.const(self.m), k0), self.t.behind(k0, ZERO)

    def _reflect(self, rows: Index, count: Index, j: Index, t: Matrix) -> None:
        """The reflection that makes zeros below the diagonal of a column, and its column of T."""
        w, dtype, width, panel = self.w, self.dtype, self.width, self.panel
        column = panel.behind(j, j)
        below, left = column.behind(ZERO, ONE), ix.sub(ix.sub(rows, j), ONE)
        head = w.load(column.buf, column.at, dtype, pinned=True)
        rest = dot(w, dtype, width, below, below, left)
        length = w.sqrt(w.fma(head, head, rest))
        plain = w.eq(rest, 0)
        beta = w.select(w.gt(head, 0), w.neg(length), length)
        beta = w.select(w.or_(plain, w.eq(beta, 0)), w.const(1, dtype), beta)
        tau = w.select(plain, w.const(0, dtype), w.div(w.sub(beta, head), beta))
        by = w.select(plain, w.const(1, dtype), w.sub(head, beta))
        w.store(self.diagonal, j, w.select(plain, head, beta))
        w.store(column.buf, column.at, w.const(1, dtype))
        with w.loop("vector", left, width) as v:
            to = below.place(ZERO, v)
            w.store(below.buf, to, w.div(w.load(below.buf, to, dtype, pinned=True), by))
        size = ix.add(left, ONE)
        with w.loop("serial", ix.sub(ix.sub(count, j), ONE)) as k:
            other = panel.behind(ix.add(ix.add(j, ONE), k), j)
            less(w, dtype, width, other, w.mul(tau, dot(w, dtype, width, column, other, size)), column, size)
        # T[:j, j] = - tau T[:j, :j] (V[:, :j]^T v)
        with w.loop("serial", j) as i:
            w.store(t.buf, t.place(i, j), dot(w, dtype, width, panel.behind(i, j), column, size))
        with w.loop("serial", j) as i:  # a row of T needs those sums from its own on
            total = w.acc(dtype, 0)
            with w.loop("serial", ix.sub(j, i)) as k:
                at = ix.add(i, k)
                a, b = (w.load(t.buf, place, dtype, pinned=True) for place in (t.place(i, at), t.place(at, j)))
                w.reduce((total,), "fma", (a, b))
            w.store(t.buf, t.place(i, j), w.mul(w.neg(tau), w.get_acc(total, dtype)))
        w.store(t.buf, t.place(j, j), tau)

    def _vectors(self, count: Index) -> None:
        """What a turned panel holds becomes the vectors alone: ones on the diagonal, zeros before."""
        w, panel = self.w, self.panel
        with w.loop("serial", count) as j:
            with w.loop("serial", j) as i:
                w.store(panel.buf, panel.place(j, i), w.const(0, self.dtype))
            w.store(panel.buf, panel.place(j, j), w.const(1, self.dtype))

    def _apply(self, c: Matrix, rows: Index, columns: Index, count: Index, t: Matrix) -> None:
        """c -= V t V^T c; t: T, or turned T^T."""
        w, dtype, width, sums = self.w, self.dtype, self.width, self.sums
        with w.loop("serial", count) as i, w.loop("vector", columns, width) as v:
            w.store(sums.buf, sums.place(i, v), w.const(0, dtype))
        self.down.take_off(sums, count, columns, self.panel, c, rows)
        with w.loop("serial", count) as step:  # a row of the product is of rows that are not yet overwritten
            i = ix.sub(ix.sub(count, step), ONE) if t.turned else step
            first = ZERO if t.turned else i
            here = sums.behind(i, ZERO)
            own = w.neg(w.load(t.buf, t.place(i, i), dtype, pinned=True))
            with w.loop("vector", columns, width) as v:
                to = here.place(ZERO, v)
                w.store(here.buf, to, w.mul(own, w.load(here.buf, to, dtype, pinned=True)))
            begin = first if t.turned else ix.add(i, ONE)
            with w.loop("serial", i if t.turned else ix.sub(ix.sub(count, i), ONE)) as k:
                at = ix.add(begin, k)
                less(w, dtype, width, here, w.load(t.buf, t.place(i, at), dtype, pinned=True), sums.behind(at, ZERO), columns)
        self.back.take_off(c, rows, columns, self.panel.T, sums, count)
