"""The gradient of a depthwise convolution's weight: for each tap of a channel the products of gradients with the inputs that they meet.

Sums stay in registers, lane by lane, for as many taps at once as there is room for, while lines of gradients pass; then they go to memory,
where lanes and parts are added up at the end. Nothing is a column of a matrix there: as a product it would use one lane of each vector.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from itertools import product

from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.cascade import Cascade, Steps, run_of
from ingot.ir.lower.depthwise.filling import Filling, early
from ingot.ir.lower.depthwise.gradient_schedule import DepthwiseGradient, forward_of
from ingot.ir.lower.depthwise.schedule import Stage, rows, steps
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.tiles.kernel import Check
from ingot.ir.lower.tiles.shape import shape_of
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import ceil_div, exactly, larger
from ingot.ir.types import Dim

__all__ = ["emit"]


def emit(group: Group, s: DepthwiseGradient, check: Check) -> list[Written]:
    """The kernel: parts of the sums, and then what follows from all of them."""
    return [(_OverChannels if s.channels else _OverLines)(group, s, check).run()]


class _Gradient:
    """An item is a part of the bands for a block: some channels, or one and one of its results. Sums lie as [part][block][tap][lane]."""

    blocks: int
    bands: tuple[Dim, ...]  # images, and what else they are counted by

    def __init__(self, group: Group, s: DepthwiseGradient, check: Check):
        self.group, self.s = group, s
        self.k = GroupKernel(group, "depthwise_gradient", check)
        self.w = self.k.w
        self.form = form_of(group.nodes[0])
        self.forward = forward_of(self.form)
        self.dtype = shape_of(group.nodes[0]).dtype
        self.window = tuple(int(d) for d in self.form.m[:-1])  # type: ignore[arg-type]
        self.taps = math.prod(self.window)
        self.channels, self.results = int(self.form.batch[0]), int(self.form.n[0])  # type: ignore[arg-type]
        self.last = int(self.form.k[-1])  # type: ignore[arg-type]

    def run(self) -> Written:
        s, w = self.s, self.w
        bands = math.prod(self.bands)
        self.parts = ceil_div(bands, s.steps)
        self.name = w.scratch(self.dtype, larger(1, self.parts * self.blocks * self.taps * s.width), "kernel")
        with w.loop("parallel", self.parts * self.blocks) as i:
            part, block = delinear(i, (self.parts, self.blocks), w.ranges)
            self.begin()
            with w.loop("serial", self.taps) as t, w.loop("vector", s.width, s.width, True) as v:
                w.store(self.name, self.place(part, block, t, v), w.const(0, self.dtype))
            with w.loop("serial", w.rest(part, s.steps, bands)) as j:
                band = delinear(ix.add(ix.mul(part, s.steps), j), self.bands, w.ranges)
                self.band(part, block, band)
        w.chunks(self.blocks, s.combine, self.combine)
        return self.k.finish(s, twice=True, fixed=True)

    def begin(self) -> None:
        """What an item has of its own."""

    def band(self, part: Index, block: Index, band: Point) -> None:
        """Add a band of gradients to the sums of a block."""
        raise NotImplementedError

    def combine(self, block: Index) -> None:
        """The weights of a block, from the sums of all parts."""
        raise NotImplementedError

    def place(self, part: Index, block: Index, tap: Index, lane: Index) -> Index:
        """Where a sum lies."""
        return linear((part, block, tap, lane), (self.parts, self.blocks, self.taps, self.s.width))

    def fresh(self, count: int) -> list[str]:
        return [self.w.acc(self.dtype, 0) for _ in range(count)]

    def add(self, accs: list[str], parts: list[str]) -> None:
        for acc, part in zip(accs, parts):
            self.w.reduce((acc,), "sum", (self.w.get_acc(part, self.dtype),))

    def keep(self, at: Index, x: Scalar) -> None:
        """Add to a sum."""
        self.w.store(self.name, at, self.w.add(self.w.load(self.name, at, self.dtype, pinned=True), x))

    def gradient(self, q: Index, n: Index, k: Point, mask: Scalar | None = None) -> Scalar:
        x = self.w.cast(self.form.b(self.k.elements(), (q,), k, (n,), mask), self.dtype)
        return x if mask is None else self.w.select(mask, x, self.w.const(0, self.dtype))

    def finish(self, acc: str, q: Index, n: Index, tap: Index) -> None:
        """Apply what follows the contraction in its group, and store."""
        x = convert(self.w, self.w.get_acc(acc, self.dtype), self.group.nodes[0].outputs[0].type.dtype)
        self.k.store(x, self.form.out((q,), (*delinear(tap, self.window, self.w.ranges), ZERO), (n,)))


class _OverLines(_Gradient):
    """Lanes run along lines, and the input is set among its zeros first."""

    def __init__(self, group: Group, s: DepthwiseGradient, check: Check):
        super().__init__(group, s, check)
        self.stage = Stage.of(self.forward, s.band, s.width)
        self.filling = Filling(self.k, self.forward, self.stage, s.width, self.dtype)
        self.rows = rows(self.forward)
        self.blocks = self.channels * self.results
        self.bands = (self.form.k[0], *self.form.k[1:-2], -(-self.rows // s.band))

    def begin(self) -> None:
        self.scratch = self.w.scratch(self.dtype, math.prod(self.stage.shape), "worker")

    def band(self, part: Index, block: Index, band: Point) -> None:
        w, s = self.w, self.s
        (image, *lead), (q, n) = band[:-1], delinear(block, (self.channels, self.results), w.ranges)
        first = early(w, band[-1], s.band, self.rows)
        self.filling.fill(self.scratch, (image, q), tuple(lead), first)
        done = ix.sub(ix.mul(band[-1], s.band), first)  # by the band in front, where this one begins early
        every = list(product(*map(range, self.window)))
        for begin in range(0, self.taps, s.taps):
            some = every[begin : begin + s.taps]
            with w.loop("vector", s.width, s.width, True) as v:
                accs = self.fresh(len(some))
                with w.loop("serial", ix.sub(ix.const(s.band), done), most=s.band) as r:
                    row = ix.add(done, r)
                    at = (image, *lead, ix.add(first, row))[: len(self.form.k) - 1]
                    with w.loop("serial", self.last // s.width) as b:
                        self.columns(accs, some, q, n, at, row, ix.add(ix.mul(b, s.width), v), None)
                    if self.last % s.width:
                        there = w.lt(w.index_value(v), self.last % s.width)
                        self.columns(accs, some, q, n, at, row, ix.add(v, ix.const(self.last // s.width * s.width)), there)
                for t, acc in enumerate(accs):
                    self.keep(self.place(part, block, ix.const(begin + t), v), w.get_acc(acc, self.dtype))

    def columns(
        self, accs: list[str], taps: list[tuple[int, ...]], q: Index, n: Index, at: Point, row: Index, column: Index, there: Scalar | None,
    ) -> None:  # fmt: skip
        """Multiply some columns of gradients with the inputs that they meet. there: which of them there are, where not all."""
        w, stage, steps = self.w, self.stage, self.filling.steps
        g = self.gradient(q, n, (*at, column), there)
        for acc, tap in zip(accs, taps):
            x = tap[-1] * steps[-1][1]
            plane, line = tap[:-2], ZERO
            if len(tap) > 1:
                line = ix.add(ix.mul(row, steps[-2][0]), ix.const(tap[-2] * steps[-2][1]))
            where = (*map(ix.const, plane), line, ix.const(x % stage.phases), ix.add(column, ix.const(x // stage.phases)))
            value = w.load(self.scratch, linear(where, stage.shape), self.dtype, pinned=True)
            if there is not None:  # what other windows read may be infinite
                value = w.select(there, value, w.const(0, self.dtype))
            w.reduce((acc,), "fma", (value, g))

    def combine(self, block: Index) -> None:
        w, s = self.w, self.s
        q, n = delinear(block, (self.channels, self.results), w.ranges)
        with w.loop("serial", self.taps) as tap:

            def one(accs: list[str], at: Point) -> None:
                x = w.load(self.name, self.place(at[0], block, tap, at[1]), self.dtype, pinned=True)
                w.reduce((accs[0],), "sum", (x,))

            accs = self.fresh(1)
            loops = [Steps(self.parts), Steps(s.width, width=s.width)]
            Cascade(w, run_of(self.parts), lambda: self.fresh(1), self.add).over(loops, accs, one)
            self.finish(accs[0], q, n, tap)


class _OverChannels(_Gradient):
    """Lanes run over channels, which lie last; a line of gradients meets one row of the window after the other."""

    def __init__(self, group: Group, s: DepthwiseGradient, check: Check):
        super().__init__(group, s, check)
        f = self.form
        self.blocks = -(-self.channels // s.width)
        self.bands = f.k[:-1]
        self.sizes = [int(d) for d in f.left.type.shape[2:]]  # type: ignore[arg-type]
        self.low = [int(d) for d in f.zeros.low] if f.zeros else [0] * len(self.sizes)  # type: ignore[arg-type]

    def block(self, block: Index, body: Callable[[Index, Index], None]) -> None:
        """`body` for the lanes of a block: the lane, and its channel."""
        w, s = self.w, self.s
        extent = w.rest(block, s.width, self.channels)
        with w.loop("vector", extent, s.width, exactly(self.channels, s.width) is not None) as v:
            body(v, ix.add(ix.mul(block, s.width), v))

    def band(self, part: Index, block: Index, band: Point) -> None:
        w = self.w
        outer, columns = math.prod(self.window[:-1]), self.window[-1]
        with w.loop("serial", outer) as row:
            tap = delinear(row, self.window[:-1], w.ranges)
            corner = self.form.at_left((ZERO,), (*tap, ZERO, ZERO), (*band, ZERO))[2:-1]
            inside = self.inside([ix.add(i, ix.const(-low)) for i, low in zip(corner, self.low)])
            for begin in range(0, columns, self.s.taps):
                some = range(begin, min(columns, begin + self.s.taps))
                if inside is None:
                    self.line(part, block, band, tap, row, some)
                    continue
                with w.when(inside):
                    self.line(part, block, band, tap, row, some)
                with w.when(w.not_(inside)):
                    self.zeros(part, block, band, row, some)

    def inside(self, at: Point | list[Index]) -> Scalar | None:
        """Whether there is such a line of the input; None: there always is."""
        w, zeros, found = self.w, self.form.zeros, []
        for i, low, size, extent in zip(at, self.low, self.sizes, zeros.extent if zeros else ()):
            found += [w.ge(w.index_value(i), 0)] if low > 0 else []
            found += [w.lt(w.index_value(i), size)] if int(extent) - low > size else []  # type: ignore[call-overload]
        return reduce(w.and_, found) if found else None

    def zeros(self, part: Index, block: Index, band: Point, row: Index, some: range) -> None:
        """Products with zeros, which are zero but for what is not finite."""
        w = self.w

        def lanes(v: Index, c: Index) -> None:
            (acc,) = self.fresh(1)
            with w.loop("serial", self.last) as x:
                w.reduce((acc,), "fma", (w.const(0, self.dtype), self.gradient(c, ZERO, (*band, x))))
            for tap in some:
                self.keep(self.place(part, block, self.tap(row, tap), v), w.get_acc(acc, self.dtype))

        self.block(block, lanes)

    def tap(self, row: Index, column: int) -> Index:
        return ix.add(ix.mul(row, self.window[-1]), ix.const(column))

    def line(self, part: Index, block: Index, band: Point, above: Point, row: Index, some: range) -> None:
        """A line of gradients and some taps of a row of the window: first what is left and right of where all of them meet inputs."""
        w, zero, elements = self.w, self.w.const(0, self.dtype), self.k.elements
        step, apart = steps(self.forward)[-1]
        low, size = self.low[-1], self.sizes[-1]
        firsts = [min(self.last, max(0, -((tap * apart - low) // step))) for tap in some]
        ends = [min(self.last, max(first, (size - 1 + low - tap * apart) // step + 1)) for tap, first in zip(some, firsts)]
        begin = max(firsts)
        end = max(begin, min(ends))

        def one(acc: str, tap: int | None, c: Index, x: Index) -> None:
            value = zero
            if tap is not None:
                at = list(self.form.at_left((c,), (*above, ix.const(tap), ZERO), (*band, x)))
                at[2:] = [ix.add(i, ix.const(-lo)) for i, lo in zip(at[2:], self.low)]
                value = w.cast(elements().at(self.form.left, tuple(at)), self.dtype)
            w.reduce((acc,), "fma", (value, self.gradient(c, ZERO, (*band, x))))

        def lanes(v: Index, c: Index) -> None:
            accs = self.fresh(len(some))
            for acc, tap, first, stop in zip(accs, some, firsts, ends):
                sides = ((0, first, None), (first, min(begin, stop), tap), (max(end, first), stop, tap), (stop, self.last, None))
                for a, b, there in sides:
                    if a < b:
                        with w.loop("serial", b - a) as x:
                            one(acc, there, c, ix.add(x, ix.const(a)))

            def middle(accs: list[str], at: Point) -> None:
                for acc, tap in zip(accs, some):
                    one(acc, tap, c, ix.add(at[0], ix.const(begin)))

            Cascade(w, run_of(end - begin), lambda: self.fresh(len(some)), self.add).over([Steps(end - begin)], accs, middle)
            for acc, tap in zip(accs, some):
                self.keep(self.place(part, block, self.tap(row, tap), v), w.get_acc(acc, self.dtype))

        self.block(block, lanes)

    def combine(self, block: Index) -> None:
        w = self.w

        def lanes(v: Index, c: Index) -> None:
            with w.loop("serial", self.taps) as tap:

                def one(accs: list[str], at: Point) -> None:
                    x = w.load(self.name, self.place(at[0], block, tap, v), self.dtype, pinned=True)
                    w.reduce((accs[0],), "sum", (x,))

                accs = self.fresh(1)
                Cascade(w, run_of(self.parts), lambda: self.fresh(1), self.add).over([Steps(self.parts)], accs, one)
                self.finish(accs[0], c, ZERO, tap)

        self.block(block, lanes)
