"""One-sided rotations: columns are turned in pairs until all are orthogonal, which are then left singular vectors times singular values.

A pair that is orthogonal already is left alone, and a matrix is done after a sweep over all pairs that turned none. Columns lie in rows,
each with its column of V behind it. Source: Drmac and Veselic, New fast and accurate Jacobi SVD algorithm (2008), for when pairs count as
orthogonal, and which of a pair comes first.
"""

from __future__ import annotations

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO
from ingot.ir.lower.matrices.blocks import Matrix, turned
from ingot.ir.lower.matrices.vectors import ONE, dot
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.types import Dim

__all__ = ["Rotations"]

SWEEPS = 40  # at most; a dozen are enough for matrices that are not made to be hard
EPS = {32: 2.0**-23, 64: 2.0**-52}


class Rotations:
    """A V and V of one (m, n) matrix A."""

    def __init__(self, w: KernelWriter, dtype: DType, width: int, m: Dim, n: Dim):
        self.w, self.dtype, self.width, self.m, self.n = w, dtype, width, m, n
        self.both = Matrix(w.scratch(dtype, n * (m + n), "worker"), ZERO, m + n)
        self.squares = w.scratch(dtype, n, "worker")  # of the columns' lengths

    def run(self, a: Matrix, av: Matrix, v: Matrix) -> None:
        """Turn the columns."""
        w, m, n, dtype, both = self.w, self.m, self.n, self.dtype, self.both
        turned(w, dtype, both, a, m, n)
        with w.loop("serial", n) as i, w.loop("vector", n, self.width) as k:
            one = w.eq(w.index_value(i), w.index_value(k))
            w.store(both.buf, both.place(i, ix.add(ix.const(m), k)), w.select(one, w.const(1, dtype), w.const(0, dtype)))
        self.limit = w.acc(dtype, 0)
        w.set_acc(self.limit, w.mul(w.sqrt(w.cast(w.index_value(ix.const(m)), dtype)), EPS[dtype.bits]))
        busy = w.acc(dtypes.i32, 1)
        with w.loop("serial", SWEEPS), w.when(w.gt(w.get_acc(busy, dtypes.i32), 0)):
            w.set_acc(busy, w.const(0, dtypes.i32))
            with w.loop("serial", n) as p:
                row = both.behind(p, ZERO)
                w.store(self.squares, p, dot(w, dtype, self.width, row, row, m))
            with w.loop("serial", n) as p:
                self._largest_first(p)
                with w.loop("serial", ix.sub(ix.const(n - 1), p)) as r:
                    self._pair(p, ix.add(ix.add(p, ONE), r), busy)
        turned(w, dtype, av, both, n, m)
        turned(w, dtype, v, both.behind(ZERO, ix.const(m)), n, n)

    def _largest_first(self, p: Index) -> None:
        """The longest of the columns from p on changes places with column p."""
        w, dtype, both = self.w, self.dtype, self.both
        best, at = w.acc(dtype, float("-inf")), w.acc(dtypes.i32, 0)
        with w.loop("serial", ix.sub(ix.const(self.n), p)) as k:
            x = w.load(self.squares, ix.add(p, k), dtype, pinned=True)
            better = w.gt(x, w.get_acc(best, dtype))
            w.set_acc(at, w.select(better, w.cast(w.index_value(k), dtypes.i32), w.get_acc(at, dtypes.i32)))
            w.set_acc(best, w.select(better, x, w.get_acc(best, dtype)))
        q = ix.add(p, w.as_index(w.cast(w.get_acc(at, dtypes.i32), dtypes.i64)))
        with w.when(w.ne(w.index_value(q), w.index_value(p))):
            with w.loop("vector", self.m + self.n, self.width) as v:
                a, b = both.place(p, v), both.place(q, v)
                x, y = w.load(both.buf, a, dtype, pinned=True), w.load(both.buf, b, dtype, pinned=True)
                w.store(both.buf, a, y)
                w.store(both.buf, b, x)
            x, y = (w.load(self.squares, i, dtype, pinned=True) for i in (p, q))
            w.store(self.squares, p, y)
            w.store(self.squares, q, x)

    def _pair(self, p: Index, q: Index, busy: str) -> None:
        w, dtype, both, width = self.w, self.dtype, self.both, self.width
        left, right = both.behind(p, ZERO), both.behind(q, ZERO)
        gamma = dot(w, dtype, width, left, right, self.m)
        alpha, beta = (w.load(self.squares, i, dtype, pinned=True) for i in (p, q))
        limit = w.mul(w.mul(w.sqrt(alpha), w.sqrt(beta)), w.get_acc(self.limit, dtype))
        with w.when(w.gt(w.abs(gamma), limit)):
            w.set_acc(busy, w.const(1, dtypes.i32))
            zeta = w.div(w.sub(beta, alpha), w.add(gamma, gamma))
            t = w.div(w.const(1, dtype), w.add(w.abs(zeta), w.sqrt(w.fma(zeta, zeta, w.const(1, dtype)))))
            t = w.select(w.lt(zeta, 0), w.neg(t), t)
            c = w.div(w.const(1, dtype), w.sqrt(w.fma(t, t, w.const(1, dtype))))
            s = w.mul(c, t)
            self._turn(left, right, w.div(s, w.add(c, w.const(1, dtype))), s)
            w.store(self.squares, p, w.fma(w.neg(t), gamma, alpha))
            w.store(self.squares, q, w.fma(t, gamma, beta))

    def _turn(self, left: Matrix, right: Matrix, tau: Scalar, s: Scalar) -> None:
        """Rutishauser's form: what is rounded is as small as the angle."""
        w, dtype = self.w, self.dtype
        less, back = w.neg(s), w.neg(tau)
        with w.loop("vector", self.m + self.n, self.width) as v:
            a, b = left.place(ZERO, v), right.place(ZERO, v)
            x, y = w.load(left.buf, a, dtype, pinned=True), w.load(right.buf, b, dtype, pinned=True)
            w.store(left.buf, a, w.fma(less, w.fma(tau, x, y), x))
            w.store(right.buf, b, w.fma(s, w.fma(back, y, x), y))
