"""3 x 3 convolutions by Winograd's minimal filtering F(2 x 2, 3 x 3): sixteen products make four results of a channel, not 36.

Inputs of 4 x 4 and weights of 3 x 3 become 4 x 4 by sums alone, and so do their products, summed over the channels, become 2 x 2 results
(see `filtering`). Where one of these is not finite (differences of infinities are NaN, those of large numbers may be infinite), the results
of the panel are calculated again, directly.
"""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir import dtypes
from ingot.ir.graph import Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point, linear
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.tiles.filtering import AT_ONCE, PRODUCTS, SIDE, Inputs, in_two_dims, of_inputs, of_products, of_taps
from ingot.ir.lower.tiles.kernel import Check, counted
from ingot.ir.lower.tiles.winograd_schedule import Winograd, tiles
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of
from ingot.ir.size import Size
from ingot.ir.types import tensor_type

__all__ = ["emit"]


def emit(group: Group, s: Winograd, check: Check) -> list[Written]:
    """The kernel that transforms the weight, apart, so that it is kept where the weight stays the same; and the one that convolves."""
    f = form_of(group.nodes[0])
    transformed = Value(tensor_type(dtypes.f32, (PRODUCTS, *f.n, f.k[-1])))
    return [_weights(group, s, check, transformed), _Convolution(group, s, check, transformed).run()]


def _weights(group: Group, s: Winograd, check: Check, to: Value) -> Written:
    """The weight as [panel][product][channel][column]."""
    k = GroupKernel(group, "winograd_weight", check)
    w, f = k.w, form_of(group.nodes[0])
    name = k.buffer(to, "w", noalias=True)
    panels, channels = int(f.n[0]) // s.columns, int(f.k[-1])  # type: ignore[arg-type]

    def line(i: Index) -> None:
        panel, c = counted(w, i, (panels, channels))
        elements = k.elements()
        with w.loop("vector", s.columns, s.width, True) as v:
            n = (ix.add(ix.mul(panel, s.columns), v),)
            x = [[f.b(elements, (ZERO, ZERO), (ix.const(a), ix.const(b), c), n) for b in range(3)] for a in range(3)]
            for p, y in enumerate(sum(in_two_dims(w, of_taps, x), [])):
                w.store(name, linear((panel, ix.const(p), c, v), (panels, PRODUCTS, channels, s.columns)), y)

    w.chunks(panels * channels, s.pack, line)
    return k.finish(s, twice=True)


class _Convolution:
    """An item is a block of tiles for some panels of columns: its inputs are transformed to scratch, then multiplied panel by panel."""

    def __init__(self, group: Group, s: Winograd, check: Check, weights: Value):
        self.group, self.s = group, s
        self.k = GroupKernel(group, "winograd", check)
        self.w = self.k.w
        self.form = f = form_of(group.nodes[0])
        self.weights = self.k.buffer(weights, "r")
        self.channels, self.panels = int(f.k[-1]), int(f.n[0]) // s.columns  # type: ignore[arg-type]
        self.count = s.images * s.high * s.wide
        self.m = [int(d) for d in f.m]  # type: ignore[arg-type]
        self.inputs = Inputs(self.w, f, (self.m[0] - AT_ONCE, self.m[1] - AT_ONCE))

    def run(self) -> Written:
        f, s, w = self.form, self.s, self.w
        blocks = [-(-tiles(f, d) // n) for d, n in enumerate((s.high, s.wide))]
        images = f.batch[0]
        counts = (-(-self.panels // s.group), images if isinstance(images, Size) else -(-images // s.images), *blocks)
        items = counts[0] * counts[1] * counts[2] * counts[3]
        with w.loop("parallel", items) as i:
            group, n, down, across = counted(w, i, counts)
            n = n if isinstance(images, Size) else self.early(n, s.images, images)
            first = (n, self.early(down, s.high, tiles(f, 0)), self.early(across, s.wide, tiles(f, 1)))
            inputs = w.scratch(dtypes.f32, PRODUCTS * self.count * self.channels, "worker")
            products = w.scratch(dtypes.f32, PRODUCTS * self.count * s.columns, "worker")
            self.over_tiles(first, lambda tile, n, corner: self.transform(inputs, n, tile, corner))
            with w.loop("serial", w.rest(group, s.group, self.panels)) as j:
                panel = ix.add(ix.mul(group, s.group), j)
                self.multiply(inputs, products, panel)
                wrong = w.acc(dtypes.bool_, False)
                self.over_tiles(first, lambda tile, n, corner: self.results(products, n, tile, corner, panel, wrong))
                with w.when(w.get_acc(wrong, dtypes.bool_)):
                    self.directly(first, panel)
        return self.k.finish(s, twice=True, fixed=True)

    def early(self, i: Index, per: int, total: int) -> Index:
        """Where the i-th of equal parts begins; the last one early, so that it is whole and overlaps its neighbour."""
        start = ix.mul(i, per)
        return start if total % per == 0 else self.w.as_index(self.w.min(self.w.index_value(start), total - per))

    def over_tiles(self, first: Point, body: Callable[[Index, Index, Point], None]) -> None:
        """body(tile, image, corner) for each tile of a block: its number, and its first result."""
        s = self.s

        def one(n: Index) -> None:
            with self.w.loop("serial", s.high) as a, self.w.loop("serial", s.wide) as b:
                body(linear((n, a, b), (s.images, s.high, s.wide)), ix.add(first[0], n), self.corner(first[1:], (a, b)))

        if s.images == 1:
            one(ZERO)
            return
        with self.w.loop("serial", s.images) as n:
            one(n)

    def corner(self, first: Point, at: Point) -> Point:
        """The first result of a tile; the last tile of an odd extent overlaps its neighbour."""
        w, out = self.w, []
        for start, i, m in zip(first, at, self.m):
            corner = ix.mul(ix.add(start, i), AT_ONCE)
            out.append(corner if m % AT_ONCE == 0 else w.as_index(w.min(w.index_value(corner), m - AT_ONCE)))
        return tuple(out)

    # -- inputs --------------------------------------------------------------------------------------------------------

    def transform(self, scratch: str, n: Index, tile: Index, corner: Point) -> None:
        """The inputs of a tile, as [product][tile][channel]; those that reach over the edge with masks."""
        w = self.w
        inside = self.inputs.inside(corner)
        if inside is None:
            self.transformed(scratch, n, tile, corner, False)
            return
        with w.when(inside):
            self.transformed(scratch, n, tile, corner, False)
        with w.when(w.not_(inside)):
            self.transformed(scratch, n, tile, corner, True)

    def transformed(self, scratch: str, n: Index, tile: Index, corner: Point, masked: bool) -> None:
        w = self.w
        with w.loop("vector", self.channels, self.s.width, True) as c:
            x = self.inputs.square(self.k.elements(), n, c, corner, masked)
            for p, y in enumerate(sum(in_two_dims(w, of_inputs, x), [])):
                w.store(scratch, linear((ix.const(p), tile, c), (PRODUCTS, self.count, self.channels)), y)

    # -- products ------------------------------------------------------------------------------------------------------

    def multiply(self, inputs: str, products: str, panel: Index) -> None:
        """Sums over the channels, as [product][tile][column]: some tiles times the columns of a panel stay in registers."""
        w, s, d = self.w, self.s, dtypes.f32
        with w.loop("serial", PRODUCTS) as p, w.loop("serial", -(-self.count // s.rows)) as t:
            first = self.early(t, s.rows, self.count)
            with w.loop("vector", s.columns, s.columns, True) as v:
                accs = [w.acc(d, 0) for _ in range(s.rows)]
                with w.loop("serial", self.channels) as c:
                    b = w.load(self.weights, linear((panel, p, c, v), (self.panels, PRODUCTS, self.channels, s.columns)), d)
                    for r, acc in enumerate(accs):
                        at = linear((p, ix.add(first, ix.const(r)), c), (PRODUCTS, self.count, self.channels))
                        w.reduce((acc,), "fma", (w.load(inputs, at, d, pinned=True), b))
                for r, acc in enumerate(accs):
                    at = linear((p, ix.add(first, ix.const(r)), v), (PRODUCTS, self.count, s.columns))
                    w.store(products, at, w.get_acc(acc, d))

    # -- results -------------------------------------------------------------------------------------------------------

    def results(self, products: str, n: Index, tile: Index, corner: Point, panel: Index, wrong: str) -> None:
        """The results of a tile, and whether one of them is not finite."""
        w, s, d = self.w, self.s, dtypes.f32
        with w.loop("vector", s.columns, s.width, True) as v:

            def read(p: int) -> Scalar:
                return w.load(products, linear((ix.const(p), tile, v), (PRODUCTS, self.count, s.columns)), d, pinned=True)

            x = [[read(SIDE * a + b) for b in range(SIDE)] for a in range(SIDE)]
            for a, row in enumerate(in_two_dims(w, of_products, x)):
                for b, y in enumerate(row):
                    none = w.sub(y, y)  # 0, of what is finite, or NaN
                    w.reduce((wrong,), "or", (w.ne(none, none),))
                    self.finish(y, n, (ix.add(corner[0], ix.const(a)), ix.add(corner[1], ix.const(b))), panel, v)

    def directly(self, first: Point, panel: Index) -> None:
        """The results of a block by direct summation."""
        f, w, s, d = self.form, self.w, self.s, dtypes.f32
        elements = self.k.elements()
        # few loops in each other: what LLVM takes for often run decides what has a register elsewhere
        with w.loop("serial", self.count * AT_ONCE**2) as i:
            image, a, b, *at = counted(w, i, (s.images, s.high, s.wide, AT_ONCE, AT_ONCE))
            n = ix.add(first[0], image)
            m = tuple(ix.add(x, y) for x, y in zip(self.corner(first[1:], (a, b)), at))
            with w.loop("vector", s.columns, s.width, True) as v:
                acc = w.acc(d, 0)
                column = (ix.add(ix.mul(panel, s.columns), v),)
                with w.loop("serial", 9 * self.channels) as j:
                    q, k = (n, ZERO), tuple(counted(w, j, (3, 3, self.channels)))
                    a, b = f.a(elements, q, m, k), f.b(elements, q, k, column)
                    if f.zeros is not None and not f.zeros.counted:  # zeros that stand for no terms
                        _, there = f.zeros.inside(w, f.at_left(q, m, k), f.left.type.shape)
                        b = b if there is None else w.select(there, b, w.const(0, d))
                    w.reduce((acc,), "fma", (a, b))
                self.finish(w.get_acc(acc, d), n, m, panel, v)

    def finish(self, x: Scalar, n: Index, m: Point, panel: Index, v: Index) -> None:
        """Apply what follows the convolution in its group, and store."""
        self.k.store(x, self.form.out((n, ZERO), m, (ix.add(ix.mul(panel, self.s.columns), v),)))
