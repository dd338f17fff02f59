"""Windows over a channel's input that is set among its zeros first: lanes run along the last spatial dim."""

from __future__ import annotations

import math
from itertools import product

from ingot.ir import dtypes
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.depthwise.direct import Check, Windows
from ingot.ir.lower.depthwise.filling import Filling, early
from ingot.ir.lower.depthwise.schedule import Depthwise, Stage, rows
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.writer import Scalar

__all__ = ["Staged"]


class Staged(Windows):
    """An item is a band of results of a channel: its input goes to scratch, then its tiles read it from there."""

    def __init__(self, group: Group, s: Depthwise, check: Check):
        super().__init__(group, s, check, None)
        f = self.form
        self.stage = Stage.of(f, s.band, s.width)
        self.filling = Filling(self.k, f, self.stage, s.width, self.dtype)
        self.steps = self.filling.steps
        self.taps = [int(d) for d in f.k[:-1]]  # type: ignore[arg-type]
        self.rows, self.last = rows(f), int(f.m[-1])  # type: ignore[arg-type]

    def run(self) -> Written:
        f, w = self.form, self.w
        dims = (*f.batch, *f.m[:-2], -(-self.rows // self.s.band))
        w.chunks(math.prod(dims), self.s.chunk, lambda i: self.item(delinear(i, dims, w.ranges)))
        return self.k.finish(self.s, twice=True, fixed=True)

    def item(self, at: Point) -> None:
        """A band of results."""
        q, lead, band = at[:2], at[2:-1], at[-1]
        scratch = self.w.scratch(self.dtype, math.prod(self.stage.shape), "worker")
        first = early(self.w, band, self.s.band, self.rows)
        self.filling.fill(scratch, q, lead, first)
        with self.w.loop("serial", -(-self.s.band // self.s.tile)) as t:
            row = early(self.w, t, self.s.tile, self.s.band)
            with self.w.loop("serial", -(-self.last // self.s.width)) as b:
                self.block(scratch, q, lead, first, row, early(self.w, b, self.s.width, self.last))

    def block(self, scratch: str, q: Point, lead: Point, first: Index, row: Index, column: Index) -> None:
        """A tile of rows from `row` of the band on, by a vector of columns from `column` on."""
        f, s, w = self.form, self.s, self.w
        uncounted = f.zeros is not None and not f.zeros.counted
        nan = w.acc(dtypes.bool_, False) if uncounted else None

        def points(v: Index) -> list[Point]:
            here = (ix.add(column, v),)
            if len(f.m) == 1:
                return [here]
            return [(*lead, ix.add(ix.add(first, row), ix.const(r)), *here) for r in range(s.tile)]

        with w.loop("vector", s.width, s.width, True) as v:
            accs = self.sums(scratch, q, row, ix.add(column, v))
            for acc, m in zip(accs, points(v)):
                x = w.get_acc(acc, self.dtype)
                if nan is not None:
                    w.reduce((nan,), "or", (w.ne(x, x),))
                self.finish(x, q, m)
        if nan is None:
            return
        # zeros that stand for no terms: one times infinity shows as NaN, and then the tile is done again without them
        with w.when(w.get_acc(nan, dtypes.bool_)), w.loop("vector", s.width, s.width, True) as v:
            self.tile(q, points(v), True)

    def sums(self, scratch: str, q: Point, row: Index, column: Index) -> list[str]:
        """The sums of a tile over all taps: for each column of a window a line of the input after the other, for all rows that it is in."""
        w, s = self.w, self.stage
        accs = [w.acc(self.dtype, 0) for _ in range(self.s.tile)]
        (stride, apart), (down, below) = self.steps[-1], self.steps[-2] if len(self.taps) > 1 else (1, 1)
        high, wide = self.taps[-2] if len(self.taps) > 1 else 1, self.taps[-1]
        readers: dict[int, list[tuple[int, int]]] = {}
        for r, k in product(range(self.s.tile), range(high)):
            readers.setdefault(r * down + k * below, []).append((r, k))

        def taps(plane: Point, at: Index) -> None:
            x = ix.mul(at, apart)
            where = (ix.mod(x, stride, w.ranges), ix.add(column, ix.div(x, stride, w.ranges)))
            weights = [self.weight_at((*plane, *(ix.const(k),)[: len(self.taps) - 1], at), q) for k in range(high)]
            for y in sorted(readers):
                line = ix.add(ix.mul(row, down), ix.const(y))
                value = w.load(scratch, linear((*plane, line, *where), s.shape), self.dtype, pinned=True)
                for r, k in readers[y]:
                    w.reduce((accs[r],), "fma", (value, weights[k]))

        def plane(at: Point) -> None:
            if self.s.unroll:
                for column in range(wide):
                    taps(at, ix.const(column))
                return
            with w.loop("serial", wide) as k:
                taps(at, k)

        w.over(s.taps, (), plane)
        return accs

    def weight_at(self, k: Point, q: Point) -> Scalar:
        """A tap's weight, where it lies."""
        return self.w.cast(self.form.b(self.k.elements(), q, (*k, ZERO), (ZERO,) * len(self.form.n)), self.dtype)
