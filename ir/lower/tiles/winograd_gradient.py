"""The gradient of 3 x 3 weights by minimal filtering: sixteen products of a pair of channels give what 36 do.

Tiles of 2 x 2 gradients of the result and of the 4 x 4 inputs that they meet become 4 x 4 factors (see `filtering`), whose products are
summed over all tiles: sixteen products of matrices, of which each pair of channels then makes its nine taps. Where one of those is not
finite, the taps of that result's channel are calculated again, directly.
"""

from __future__ import annotations

from functools import reduce

from ingot.ir import dtypes
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point, linear
from ingot.ir.lower.cascade import Cascade, Steps, run_of
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.tiles.filtering import AT_ONCE, PRODUCTS, SIDE, Inputs, in_two_dims, of_gradients, of_inputs, to_taps
from ingot.ir.lower.tiles.kernel import Check, counted
from ingot.ir.lower.tiles.winograd_gradient_schedule import WinogradGradient, count_of
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of

__all__ = ["emit"]

TAPS = 3


def emit(group: Group, s: WinogradGradient, check: Check) -> list[Written]:
    """The kernel: parts of the sums, and then what follows from all of them."""
    return [_Gradient(group, s, check).run()]


class _Gradient:
    """An item is a block of the channels of both factors, and a part of the tiles."""

    def __init__(self, group: Group, s: WinogradGradient, check: Check):
        self.group, self.s = group, s
        self.k = GroupKernel(group, "winograd_gradient", check)
        self.w = w = self.k.w
        self.form = f = form_of(group.nodes[0])
        self.counts = count_of(f)
        self.tiles = self.counts[0] * self.counts[1] * self.counts[2]
        self.m = [int(d) for d in f.k[1:]]  # type: ignore[arg-type]
        self.steps = -(-self.tiles // s.step)
        self.parts = -(-self.steps // s.steps)
        self.over, self.under = int(f.n[0]) // s.results, int(f.m[-1]) // s.channels  # type: ignore[arg-type]
        self.inputs = Inputs(w, f, (AT_ONCE * (self.counts[1] - 1), AT_ONCE * (self.counts[2] - 1)))
        # a vector more than there are channels: lines that follow each other do not meet in the same sets of the first cache
        self.left_line, self.right_line = s.channels + s.width, s.results + s.width
        self.sums = w.scratch(dtypes.f32, self.parts * PRODUCTS * int(f.n[0]) * int(f.m[-1]), "kernel")  # type: ignore[arg-type]

    def run(self) -> Written:
        s, w, d = self.s, self.w, dtypes.f32
        with w.loop("parallel", self.parts * self.over * self.under) as i:
            part, over, under = counted(w, i, (self.parts, self.over, self.under))
            left = w.scratch(d, PRODUCTS * s.step * self.left_line, "worker")
            right = w.scratch(d, PRODUCTS * s.step * self.right_line, "worker")
            with w.loop("serial", PRODUCTS * s.results) as line, w.loop("vector", s.channels, s.width, True) as v:
                w.store(self.sums, self.place(part, over, under, line, v), w.const(0, d))
            with w.loop("serial", w.rest(part, s.steps, self.steps)) as j:
                first = ix.mul(ix.add(ix.mul(part, s.steps), j), s.step)
                with w.loop("serial", s.step) as t:
                    self.transform(left, right, over, under, first, t)
                with w.loop("serial", PRODUCTS) as p:
                    self.multiply(left, right, (part, over, under), p)
        w.chunks(self.over * s.results, s.combine, self.combine)
        return self.k.finish(s, twice=True, fixed=True)

    def place(self, part: Index, over: Index, under: Index, line: Index, v: Index) -> Index:
        """Where a sum lies; `line`: of a product and a channel of the result in its block."""
        s = self.s
        return linear((part, over, under, line, v), (self.parts, self.over, self.under, PRODUCTS * s.results, s.channels))

    # -- factors -------------------------------------------------------------------------------------------------------

    def transform(self, left: str, right: str, over: Index, under: Index, first: Index, t: Index) -> None:
        """The factors of a tile, as [product][tile][channel]. Behind the last tile gradients are zero."""
        w, s = self.w, self.s
        tile, there = ix.add(first, t), None
        if self.tiles % s.step:
            there = w.lt(w.index_value(tile), self.tiles)
            tile = w.as_index(w.min(w.index_value(tile), self.tiles - 1))
        n, *at = counted(w, tile, self.counts)
        corner = tuple(ix.mul(i, AT_ONCE) for i in at)
        inside = self.inputs.inside(corner)
        if inside is None:
            self.of_inputs(left, under, t, n, corner, False)
        else:
            with w.when(inside):
                self.of_inputs(left, under, t, n, corner, False)
            with w.when(w.not_(inside)):
                self.of_inputs(left, under, t, n, corner, True)
        conditions = [w.le(w.index_value(i), m - AT_ONCE) for i, m in zip(corner, self.m) if m % AT_ONCE]
        conditions += [] if there is None else [there]
        if not conditions:
            self.of_gradients(right, over, t, n, corner, None, False)
            return
        whole = reduce(w.and_, conditions)
        with w.when(whole):
            self.of_gradients(right, over, t, n, corner, None, False)
        with w.when(w.not_(whole)):
            self.of_gradients(right, over, t, n, corner, there, True)

    def of_inputs(self, to: str, under: Index, t: Index, n: Index, corner: Point, masked: bool) -> None:
        w, s = self.w, self.s
        with w.loop("vector", s.channels, s.width, True) as v:
            x = self.inputs.square(self.k.elements(), n, ix.add(ix.mul(under, s.channels), v), corner, masked)
            for p, y in enumerate(sum(in_two_dims(w, of_inputs, x), [])):
                w.store(to, linear((ix.const(p), t, v), (PRODUCTS, s.step, self.left_line)), y)

    def of_gradients(self, to: str, over: Index, t: Index, n: Index, corner: Point, there: Scalar | None, masked: bool) -> None:
        """`masked`: zeros where there is no such result, or no such tile at all."""
        f, w, s = self.form, self.w, self.s
        with w.loop("vector", s.results, s.width, s.results % s.width == 0) as v:
            elements = self.k.elements()

            def read(*at: int) -> Scalar:
                places, mask = tuple(ix.add(i, ix.const(j)) for i, j in zip(corner, at)), there if masked else None
                for i, j, m in zip(places, at, self.m):
                    if masked and m % AT_ONCE and j:
                        within = w.lt(w.index_value(i), m)
                        mask = within if mask is None else w.and_(mask, within)
                x = f.b(elements, (ZERO,), (n, *places), (ix.add(ix.mul(over, s.results), v),), mask)
                return x if mask is None else w.select(mask, x, w.const(0, dtypes.f32))

            x = [[read(a, b) for b in range(AT_ONCE)] for a in range(AT_ONCE)]
            for p, y in enumerate(sum(in_two_dims(w, of_gradients, x), [])):
                w.store(to, linear((ix.const(p), t, v), (PRODUCTS, s.step, self.right_line)), y)

    # -- products ------------------------------------------------------------------------------------------------------

    def multiply(self, left: str, right: str, block: Point, p: Index) -> None:
        """Sums over the tiles of a step: some rows times some columns stay in registers."""
        w, s = self.w, self.s
        whole, rest = divmod(s.results, s.rows)
        with w.loop("serial", s.channels // s.columns) as column:
            with w.loop("serial", whole) as r:
                self.product(left, right, block, p, ix.mul(column, s.columns), ix.mul(r, s.rows), s.rows)
            if rest:
                self.product(left, right, block, p, ix.mul(column, s.columns), ix.const(whole * s.rows), rest)

    def product(self, left: str, right: str, block: Point, p: Index, column: Index, first: Index, count: int) -> None:
        w, s, d = self.w, self.s, dtypes.f32
        rows = [ix.add(first, ix.const(r)) for r in range(count)]
        with w.loop("vector", s.columns, s.columns, True) as v:
            accs = [w.acc(d, 0) for _ in rows]
            with w.loop("serial", s.step) as t:
                x = w.load(left, linear((p, t, ix.add(column, v)), (PRODUCTS, s.step, self.left_line)), d, pinned=True)
                for acc, row in zip(accs, rows):
                    g = w.load(right, linear((p, t, row), (PRODUCTS, s.step, self.right_line)), d, pinned=True)
                    w.reduce((acc,), "fma", (g, x))
            for acc, row in zip(accs, rows):
                at = self.place(block[0], block[1], block[2], ix.add(ix.mul(p, s.results), row), ix.add(column, v))
                w.store(self.sums, at, w.add(w.load(self.sums, at, d, pinned=True), w.get_acc(acc, d)))

    # -- results -------------------------------------------------------------------------------------------------------

    def combine(self, o: Index) -> None:
        """The weights of a channel of the result, from the sums of all parts."""
        w, s, d = self.w, self.s, dtypes.f32
        over, row = ix.div(o, s.results, w.ranges), ix.mod(o, s.results, w.ranges)
        wrong = w.acc(dtypes.bool_, False)
        with w.loop("serial", self.under) as under, w.loop("vector", s.channels, s.width, True) as v:

            def fresh() -> list[str]:
                return [w.acc(d, 0) for _ in range(PRODUCTS)]

            def add(accs: list[str], parts: list[str]) -> None:
                for acc, part in zip(accs, parts):
                    w.reduce((acc,), "sum", (w.get_acc(part, d),))

            def one(accs: list[str], at: Point) -> None:
                for p, acc in enumerate(accs):
                    place = self.place(at[0], over, under, ix.add(ix.const(p * s.results), row), v)
                    w.reduce((acc,), "sum", (w.load(self.sums, place, d, pinned=True),))

            accs = fresh()
            Cascade(w, run_of(self.parts), fresh, add).over([Steps(self.parts)], accs, one)
            y = [w.get_acc(acc, d) for acc in accs]
            for a, line in enumerate(in_two_dims(w, to_taps, [y[SIDE * i : SIDE * i + SIDE] for i in range(SIDE)])):
                for b, x in enumerate(line):
                    none = w.sub(x, x)  # 0, of what is finite, or NaN
                    w.reduce((wrong,), "or", (w.ne(none, none),))
                    self.finish(x, o, ix.add(ix.mul(under, s.channels), v), (a, b))
        with w.when(w.get_acc(wrong, dtypes.bool_)):
            self.directly(o)

    def directly(self, o: Index) -> None:
        """The weights of a channel of the result by direct summation."""
        f, w, d = self.form, self.w, dtypes.f32
        taps = [(a, b) for a in range(TAPS) for b in range(TAPS)]
        with w.loop("vector", f.m[-1], self.s.width, True) as c:

            def fresh() -> list[str]:
                return [w.acc(d, 0) for _ in taps]

            def add(accs: list[str], parts: list[str]) -> None:
                for acc, part in zip(accs, parts):
                    w.reduce((acc,), "sum", (w.get_acc(part, d),))

            def one(accs: list[str], k: Point) -> None:
                elements = self.k.elements()
                g = f.b(elements, (ZERO,), k, (o,))
                for acc, (a, b) in zip(accs, taps):
                    w.reduce((acc,), "fma", (f.a(elements, (ZERO,), (ix.const(a), ix.const(b), c), k), g))

            accs = fresh()
            Cascade(w, run_of(self.tiles * AT_ONCE**2), fresh, add).over([Steps(n) for n in f.k], accs, one)
            for acc, tap in zip(accs, taps):
                self.finish(w.get_acc(acc, d), o, c, tap)

    def finish(self, x: Scalar, o: Index, c: Index, tap: tuple[int, int]) -> None:
        """Apply what follows the contraction in its group, and store."""
        self.k.store(x, self.form.out((ZERO,), (ix.const(tap[0]), ix.const(tap[1]), c), (o,)))
