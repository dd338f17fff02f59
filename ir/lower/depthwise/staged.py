"""Windows over a channel's input that is set among its zeros first: lanes run along the last spatial dim."""

from __future__ import annotations

import math
from functools import reduce
from itertools import product

from ingot.ir import dtypes
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.depthwise.direct import Check, Windows
from ingot.ir.lower.depthwise.schedule import Depthwise, Stage, rows, steps
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
        self.steps = steps(f)
        self.taps = [int(d) for d in f.k[:-1]]  # type: ignore[arg-type]
        self.sizes = [int(d) for d in f.left.type.shape[2:]]  # type: ignore[arg-type]
        self.low = tuple(int(d) for d in f.zeros.low) if f.zeros else (0,) * len(self.sizes)  # type: ignore[arg-type]
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
        first = self.early(band, self.s.band, self.rows)
        self.fill(scratch, q, lead, first)
        with self.w.loop("serial", -(-self.s.band // self.s.tile)) as t:
            row = self.early(t, self.s.tile, self.s.band)
            with self.w.loop("serial", -(-self.last // self.s.width)) as b:
                self.block(scratch, q, lead, first, row, self.early(b, self.s.width, self.last))

    def early(self, i: Index, per: int, total: int) -> Index:
        """Where the i-th of equal parts begins; the last one early, so that it is whole and overlaps its neighbour."""
        start = ix.mul(i, per)
        if total % per == 0:
            return start
        return self.w.as_index(self.w.min(self.w.index_value(start), total - per))

    # -- the input among its zeros -----------------------------------------------------------------------------------

    def fill(self, scratch: str, q: Point, lead: Point, first: Index) -> None:
        """The part of a channel's input that results from row `first` on read."""
        f, w, s = self.form, self.w, self.stage

        def line(plane: Point, row: Index) -> None:
            before = tuple(ix.add(ix.mul(m, a), ix.mul(k, b)) for m, k, (a, b) in zip(lead, plane, self.steps))
            y = () if len(self.sizes) == 1 else (ix.add(ix.mul(first, self.steps[-2][0]), row),)
            to = ix.mul(linear((*plane, row), s.shape[:-2]), s.phases * s.pitch)
            if f.zeros is not None and any(g != 1 for g in f.zeros.gap):
                self.apart(scratch, to, q, (*before, *y))
                return
            at = tuple(ix.add(i, ix.const(-lo)) for i, lo in zip((*before, *y), self.low))
            inside = self.among(at)
            if inside is None:
                self.copy(scratch, to, (*q, *at))
                return
            with w.when(inside):
                self.copy(scratch, to, (*q, *at))
            with w.when(w.not_(inside)):
                self.zeros(scratch, to, s.phases * s.pitch)

        w.over((*s.taps, s.rows), (), lambda at: line(at[:-1], at[-1]))

    def among(self, at: Point) -> Scalar | None:
        """Whether a line lies in the input; None: every one does."""
        w, zeros = self.w, self.form.zeros
        conditions = []
        for i, lo, extent, size in zip(at, self.low, zeros.extent if zeros else (), self.sizes):
            if lo > 0:
                conditions.append(w.ge(w.index_value(i), 0))
            if int(extent) - lo > size:  # type: ignore[call-overload]
                conditions.append(w.lt(w.index_value(i), size))
        return reduce(w.and_, conditions) if conditions else None

    def zeros(self, scratch: str, to: Index, count: int) -> None:
        with self.w.loop("vector", count, self.s.width, count % self.s.width == 0) as v:
            self.w.store(scratch, ix.add(to, v), self.w.const(0, self.dtype))

    def copy(self, scratch: str, to: Index, line: Point) -> None:
        """A line of the input: for each phase zeros in front and behind, then, over what they have too much, its columns."""
        s, width, low, size = self.stage, self.s.width, self.low[-1], self.sizes[-1]
        for phase in range(s.phases):
            here = ix.add(to, ix.const(phase * s.pitch))
            front = max(0, -((phase - low) // s.phases))
            source = front * s.phases + phase - low
            count = max(0, min(-((source - size) // s.phases), s.pitch - front))
            if front:
                self.zeros(scratch, here, min(s.pitch, -(-front // width) * width))
            behind = s.pitch - front - count
            if behind > 0:
                many = min(s.pitch, -(-behind // width) * width)
                self.zeros(scratch, ix.add(here, ix.const(s.pitch - many)), many)
            whole = count // width * width
            self.columns(scratch, here, line, front, source, whole)
            if whole and whole < count:  # the last vector overlaps its neighbour
                self.columns(scratch, here, line, front + count - width, source + (count - width) * s.phases, width)
            elif whole < count:
                self.columns(scratch, here, line, front, source, count)

    def columns(self, scratch: str, to: Index, line: Point, front: int, source: int, count: int) -> None:
        """Columns from `front` on of a phase, whose first is element `source` of a line."""
        w, elements = self.w, self.k.elements()
        if not count:
            return
        with w.loop("vector", count, self.s.width, count % self.s.width == 0) as v:
            x = elements.at(self.form.left, (*line, ix.add(ix.mul(v, self.stage.phases), ix.const(source))))
            w.store(scratch, ix.add(to, ix.add(v, ix.const(front))), w.cast(x, self.dtype))

    def apart(self, scratch: str, to: Index, q: Point, line: Point) -> None:
        """A line whose elements lie apart, with zeros between them."""
        w, f, s, elements = self.w, self.form, self.stage, self.k.elements()
        for phase in range(s.phases):
            with w.loop("vector", s.pitch, self.s.width, s.pitch % self.s.width == 0) as v:
                x = f.among_zeros(elements, (*q, *line, ix.add(ix.mul(v, s.phases), ix.const(phase))))
                w.store(scratch, ix.add(to, ix.add(ix.const(phase * s.pitch), v)), w.cast(x, self.dtype))

    # -- results -----------------------------------------------------------------------------------------------------

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
