"""What all kernels of products in tiles have in common: the grid, the way along k, edges, and sums of parts of k; see products.py."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext

from ingot.backends.cuda.block_kernel import THREADS, BlockKernel
from ingot.backends.cuda.lying import lies
from ingot.backends.cuda.products import InTiles
from ingot.ir.dtypes import DType
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.cascade import run_of
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.small_loops import contraction, steps_at_a_point
from ingot.ir.lower.tiles.shape import shape_of
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import at_most, ceil_div, exactly
from ingot.ir.struct import value_type
from ingot.ir.types import Dim, Shape

__all__ = ["Check", "Side", "Sums", "Tiles"]

Check = Callable[[Node], int]


class _Kernel:
    """What both kernels need."""

    def __init__(self, name: str, group: Group, s: InTiles, check: Check, sums: Value | None):
        self.group, self.s, self.sums = group, s, sums
        self.k = BlockKernel(group, name, check)
        self.w = self.k.w
        self.form, self.n = form_of(group.nodes[0]), shape_of(group.nodes[0])

    def slot(self, part: Index, q: Index, m: Index, n: Index) -> Index:
        """Where the sum of a part lies in memory."""
        return linear((part, q, m, n), (self.s.parts, self.n.batch, self.n.m, self.n.n))

    def split(self, i: Index, dims: Shape) -> Point:
        """The point of a flat index; () where there are no dims."""
        return delinear(i, dims, self.w.ranges)

    def finish(self, x: Scalar, point: Point, mask: Scalar | None) -> None:
        """Apply what follows the contraction in its group, and store."""
        w, elements, out = self.w, self.k.elements(), self.group.nodes[0].outputs[0]
        result = convert(w, x, out.type.dtype)
        elements.known[out] = lambda idx: result
        for v in self.group.outputs:
            idx = tuple(ZERO if a is None else point[a] for a in self.group.maps[v])
            w.store(self.k.buffer(v, "w"), linear(idx, v.type.shape), elements.at(v, idx, mask), mask)


@value_type
class Side:
    """An operand: its rows or columns, of a tile and in all; whether memory lies along k; its element at (batch, row, step of k); and,
    where it is copied past the registers, where that lies."""

    extent: Dim
    length: int
    along_k: bool
    at: Callable[[Point, Index, Index], Scalar]
    copied: bool = False
    place: Callable[[Point, Index, Index], tuple[str, Index]] | None = None


class Tiles(_Kernel, ABC):
    """Tiles of the result, finished, or the sums of a part of k. What differs between ways to multiply tiles are the methods from
    `shared_tiles` on.

    bands: so many tiles down have blocks of neighbouring numbers, and as many across: what they read they find in the cache
    behind: products of so many tiles go on while the next are asked for
    """

    bands: tuple[int, ...] = ()
    behind = 0

    def __init__(self, group: Group, s: InTiles, check: Check, sums: Value | None):
        super().__init__("product", group, s, check, sums)
        f = self.form

        def left(q: Point, m: Index, k: Index) -> Scalar:
            return f.a(self.k.elements(), q, self.split(m, f.m), self.split(k, f.k))

        def right(q: Point, n: Index, k: Index) -> Scalar:
            return f.b(self.k.elements(), q, self.split(k, f.k), self.split(n, f.n))

        def place(of_left: bool) -> Callable[[Point, Index, Index], tuple[str, Index]] | None:
            found = lies(group, of_left) if s.copied[0 if of_left else 1] else None
            if found is None:
                return None
            name, dims = ("m", f.m) if of_left else ("n", f.n)

            def at(q: Point, i: Index, k: Index) -> tuple[str, Index]:
                points = {"q": q, name: self.split(i, dims), "k": self.split(k, f.k)}
                return self.k.buffer(found.value, "r"), found.at(points, self.w.ranges)

            return at

        self.sides = (
            Side(self.n.m, s.tile[0], s.left_k, left, s.copied[0], place(True)),
            Side(self.n.n, s.tile[1], s.right_k, right, s.copied[1], place(False)),
        )

    def written(self) -> Written:
        """The kernel."""
        s, w, n = self.s, self.w, self.n
        bm, bn, bk = s.tile
        tiles_m, tiles_n = ceil_div(n.m, bm), ceil_div(n.n, bn)
        steps = ceil_div(n.k, bk)  # tiles along k
        per = ceil_div(steps, s.parts)
        names = self.shared_tiles()
        with self.k.grid(tiles_m * tiles_n * n.batch * s.parts, s.threads) as (g, t):
            self.thread = t
            near = next((b for b in self.bands if exactly(tiles_m, b) is not None), None)
            width = tiles_m if near is None else near
            inside, rest = ix.mod(g, width, w.ranges), ix.div(g, width, w.ranges)
            tile_n, rest = ix.mod(rest, tiles_n, w.ranges), ix.div(rest, tiles_n, w.ranges)
            tile_m = inside
            if near is not None:
                band, rest = ix.mod(rest, tiles_m // near, w.ranges), ix.div(rest, tiles_m // near, w.ranges)
                tile_m = ix.add(ix.mul(band, near), inside)
            batch, part = ix.mod(rest, n.batch, w.ranges), ix.div(rest, n.batch, w.ranges)
            q = self.split(batch, self.form.batch)
            first = ix.mul(part, per)
            count: Index | Dim = per
            if s.parts > 1:
                count = w.as_index(w.max(w.min(w.index_value(ix.sub(ix.const(steps), first)), w.index_value(ix.const(per))), 0))
            last = w.index_value(ix.sub(ix.add(first, count if isinstance(count, Index) else ix.const(count)), ix.const(1)))

            sides = list(zip(self.sides, names, (tile_m, tile_n)))

            def read(at: Index) -> list[list[Scalar]]:
                return [self.read(q, side, tile, at) for side, _, tile in sides if not side.copied]

            def put(slot: Index, values: list[list[Scalar]]) -> None:
                for (side, name, _), some in zip((x for x in sides if not x[0].copied), values):
                    self.put(side, name, slot, some)

            def copy(slot: Index, at: Index) -> None:
                if any(s.copied):
                    with w.when(w.le(w.index_value(at), last)):
                        for side, name, tile in sides:
                            if side.copied:
                                self.copy(q, side, name, slot, tile, at)
                    w.commit()

            ahead = s.stages - 1 - self.behind
            self.begin()
            for stage in range(ahead):
                slot, at = ix.const(stage), ix.add(first, ix.const(stage))
                copy(slot, at)
                if not all(s.copied):
                    with nullcontext() if stage == 0 and s.parts == 1 and at_most(1, n.k) else w.when(w.le(w.index_value(at), last)):
                        put(slot, read(at))

            def arrive() -> None:
                if any(s.copied):
                    w.wait(ahead - 1)
                self.k.barrier()

            arrive()
            with w.loop("serial", count) as step:
                following = ix.add(ix.add(first, step), ix.const(ahead))
                here = ix.mod(step, s.stages, w.ranges)
                slot = ix.sub(ix.const(1), here) if s.stages == 2 else ix.mod(ix.add(step, ix.const(ahead)), s.stages, w.ranges)
                if self.behind:
                    self.multiply(names, here)
                values = [] if all(s.copied) else read(w.as_index(w.min(w.index_value(following), last)))
                copy(slot, following)
                if not self.behind:
                    self.multiply(names, here)
                put(slot, values)
                self.settle()
                arrive()
            for x, i, j in self.results():
                self.store(x, part, batch, q, ix.add(ix.mul(tile_m, bm), i), ix.add(ix.mul(tile_n, bn), j))
        return self.k.finish(s, twice=True, fixed=True)

    def element(self, q: Point, side: Side, i: Index, k: Index, dtype: DType) -> Scalar:
        """An element of an operand: of the last row where there is no such row, 0 where k has ended."""
        w = self.w
        if exactly(side.extent, side.length) is None:
            i = self.clamped(i, side.extent)
        inside = None
        if exactly(self.n.k, self.s.tile[2]) is None:
            inside = w.lt(w.index_value(k), self.n.k)
            k = self.clamped(k, self.n.k)
        x = convert(w, side.at(q, i, k), dtype)
        return x if inside is None else w.select(inside, x, w.const(0, dtype))

    def clamped(self, i: Index, n: Dim) -> Index:
        """min(i, n - 1)."""
        w = self.w
        return w.as_index(w.min(w.index_value(i), w.index_value(ix.const(n - 1))))

    def store(self, x: Scalar, part: Index, batch: Index, q: Point, m: Index, n: Index) -> None:
        """Store a sum, where it is one of the result's."""
        w, f, (bm, bn, _) = self.w, self.form, self.s.tile
        mask = None
        for i, d, b in ((m, self.n.m, bm), (n, self.n.n, bn)):
            if exactly(d, b) is None:
                inside = w.lt(w.index_value(i), d)
                mask = inside if mask is None else w.and_(mask, inside)
        if self.sums is not None:
            w.store(self.k.buffer(self.sums, "w"), self.slot(part, batch, m, n), x, mask)
        else:
            self.finish(x, f.out(q, self.split(m, f.m), self.split(n, f.n)), mask)

    # -- a tile ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def shared_tiles(self) -> list[str]:
        """Shared memory for the tiles of each operand that are there at a time."""

    @abstractmethod
    def read(self, q: Point, side: Side, tile: Index, step: Index) -> list[Scalar]:
        """The elements that the thread brings into a tile at a step of k."""

    @abstractmethod
    def put(self, side: Side, name: str, slot: Index, values: list[Scalar]) -> None:
        """Store them in a slot of shared memory."""

    def copy(self, q: Point, side: Side, name: str, slot: Index, tile: Index, step: Index) -> None:
        """Send for the thread's part of a tile at a step of k."""
        raise ValueError(f"{self.s}: these tiles are made of what passes registers")

    @abstractmethod
    def begin(self) -> None:
        """Declare the thread's sums."""

    @abstractmethod
    def multiply(self, names: list[str], slot: Index) -> None:
        """Add the products of a tile to the sums."""

    def settle(self) -> None:
        """Wait for all products but those of the last `behind` tiles."""

    @abstractmethod
    def results(self) -> list[tuple[Scalar, Index, Index]]:
        """The thread's sums, with the row and column of each in the tile."""


class Sums(_Kernel):
    """The sums of all parts, in order, and what follows from them; an element to a thread."""

    def __init__(self, group: Group, s: InTiles, check: Check, sums: Value):
        super().__init__("sums", group, s, check, sums)

    def written(self) -> Written:
        """The kernel."""
        w, f, n, s = self.w, self.form, self.n, self.s
        assert self.sums is not None
        name = self.k.buffer(self.sums, "r")
        node = self.group.nodes[0]

        def element(i: Index) -> None:
            batch, m, columns = delinear(i, (n.batch, n.m, n.n), w.ranges)
            acc = w.acc(n.dtype, 0)
            with w.loop("serial", s.parts) as part:
                w.reduce((acc,), "sum", (w.load(name, self.slot(part, batch, m, columns), n.dtype, pinned=True),))
            point = f.out(self.split(batch, f.batch), self.split(m, f.m), self.split(columns, f.n))
            if s.apart:  # zero times infinity, where zeros are no terms
                x = w.get_acc(acc, n.dtype)
                with w.when(w.ne(x, x)):
                    elements = self.k.elements()
                    elements.run = run_of(steps_at_a_point(node))
                    w.set_acc(acc, convert(w, contraction(elements, node, point), n.dtype))
            self.finish(w.get_acc(acc, n.dtype), point, None)

        self.k.each(n.batch * n.m * n.n, THREADS, element)
        return self.k.finish(s)
