"""What the kernels of a tiled contraction have in common."""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel
from ingot.ir.lower.tiles.phases import form_in_phases
from ingot.ir.lower.tiles.schedule import Tiles
from ingot.ir.lower.tiles.shape import shape_of
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.ops.form import Dims
from ingot.ir.ops.scalars import convert
from ingot.ir.size import ceil_div, exactly
from ingot.ir.types import Dim

__all__ = ["Check", "TiledKernel", "counted", "single"]

Check = Callable[[Node], int]


class TiledKernel:
    """A kernel of a tiled contraction: its writer, its sizes, and where panels and columns lie."""

    def __init__(self, name: str, group: Group, s: Tiles, check: Check):
        self.group = group
        self.s = s
        self.k = GroupKernel(group, name, check)
        self.w = self.k.w
        self.form = form_in_phases(group.nodes[0])
        self.n = shape_of(group.nodes[0])
        self.panels = ceil_div(self.n.n, s.pack.columns)

    def panel_base(self, batch: Index, panel: Index) -> Index:
        """Where a panel begins; `batch`: the flat index of B's batch dims."""
        return ix.mul(ix.add(ix.mul(batch, self.panels), panel), self.n.k * self.s.pack.columns)

    def column(self, panel: Index, v: Index) -> tuple[Index, Scalar | None]:
        """The column of a lane, and the mask of lanes that are columns (None: all are)."""
        w, columns = self.w, self.s.pack.columns
        first = ix.mul(panel, columns)
        if exactly(self.n.n, columns) is not None:
            return ix.add(first, v), None
        if self.s.pack.direct:
            return ix.add(w.as_index(w.min(w.index_value(first), w.index_value(ix.const(self.n.n - columns)))), v), None
        n = ix.add(first, v)
        return n, w.lt(w.index_value(n), self.n.n)

    def columns_of(self, name: str, q: Point, some: list[tuple[Index, Index]], each: Callable[[Callable[[Point], None]], None]) -> None:
        """Pack steps of k of some panels, given with where they begin, all columns at once; each(one) calls one(k) for every step."""
        f, w, columns = self.form, self.w, self.s.pack.columns
        elements = self.k.elements()
        with w.loop("vector", columns, columns, True) as v:
            lanes = [(*self.column(panel, v), base) for panel, base in some]
            places = [(delinear(n_flat, f.n, w.ranges), mask, base) for n_flat, mask, base in lanes]

            def one(k: Point) -> None:
                for at, mask, base in places:
                    x = convert(w, f.b(elements, q, k, at, mask), self.n.dtype)
                    w.store(name, ix.add(ix.add(base, ix.mul(linear(k, f.k), columns)), v), x)

            each(one)


def single(n: Dim) -> bool:
    """Whether a dim is known to have one element at most."""
    return isinstance(n, int) and n <= 1


def counted(w: KernelWriter, i: Index, counts: Dims) -> list[Index]:
    """The digits of i, the first count the slowest: row-major, where a count of 1 costs nothing."""
    out: list[Index] = []
    for n in reversed(counts[1:]):
        out.append(ZERO if single(n) else ix.mod(i, n, w.ranges))
        i = i if single(n) else ix.div(i, n, w.ranges)
    return [i, *reversed(out)]
