"""Blocks of matrices in memory: turned, multiplied and taken off, solved for.

A product of blocks goes through registers in tiles of `ROWS` rows and two vectors of columns. Both factors are copied to where a tile's
steps find them one behind the other: rows of a matrix whose length is a power of two share a few sets of the cache.
"""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.ir import Transpose
from ingot.ir.loop.points import ZERO
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.struct import frozen, struct
from ingot.ir.types import Dim

__all__ = ["ROWS", "Matrix", "Products", "span", "turned"]

ROWS = 6  # of a tile
SQUARE = 8  # elements of a square that is turned in registers, either way

Extent = Index | Dim


@frozen
@struct
class Matrix:
    """A matrix in memory: its buffer, where it begins, how far its rows lie apart. `turned`: that is how far its columns do."""

    buf: str
    at: Index
    step: Dim
    turned: bool = False

    def place(self, i: Index, j: Index) -> Index:
        """Where an element lies."""
        i, j = (j, i) if self.turned else (i, j)
        return ix.add(ix.add(self.at, ix.mul(i, self.step)), j)

    def behind(self, i: Index, j: Index) -> Matrix:
        """The part from row i and column j on."""
        return Matrix(self.buf, self.place(i, j), self.step, self.turned)

    @property
    def T(self) -> Matrix:
        """The same memory, rows for columns."""
        return Matrix(self.buf, self.at, self.step, not self.turned)


def span(x: Extent) -> Index:
    """An extent as an index."""
    return x if isinstance(x, Index) else ix.const(x)


def turned(w: KernelWriter, dtype: DType, to: Matrix, source: Matrix, rows: Extent, columns: Extent) -> None:
    """to[j, i] = source[i, j] for the first rows and columns of `source`: squares by registers, the rest one by one."""
    r, c = span(rows), span(columns)
    down, along = (ix.div(x, SQUARE, w.ranges) for x in (r, c))
    with w.loop("serial", down) as p:
        i = ix.mul(p, SQUARE)
        with w.loop("serial", along) as q:
            j = ix.mul(q, SQUARE)
            w.append(Transpose(to.buf, to.place(j, i), to.step, source.buf, source.place(i, j), source.step, SQUARE))

    def rest(i0: Index, j0: Index) -> None:
        with w.loop("serial", ix.sub(r, i0)) as p:
            i = ix.add(i0, p)
            with w.loop("serial", ix.sub(c, j0)) as q:
                j = ix.add(j0, q)
                w.store(to.buf, to.place(j, i), w.load(source.buf, source.place(i, j), dtype, pinned=True))

    rest(ix.mul(down, SQUARE), ZERO)
    with w.loop("serial", down) as p:
        j0 = ix.mul(along, SQUARE)
        with w.loop("serial", SQUARE) as u, w.loop("serial", ix.sub(c, j0)) as q:
            i, j = ix.add(ix.mul(p, SQUARE), u), ix.add(j0, q)
            w.store(to.buf, to.place(j, i), w.load(source.buf, source.place(i, j), dtype, pinned=True))


class Products:
    """Takes products of blocks off others. width: lanes of two vectors; most_rows, depth: of a left factor at most."""

    def __init__(self, w: KernelWriter, dtype: DType, width: int, most_rows: Dim, depth: int):
        self.w, self.dtype, self.width, self.depth = w, dtype, width, depth
        self.left = w.scratch(dtype, (most_rows + ROWS) * depth, "worker")
        self.panel = w.scratch(dtype, depth * width, "worker")

    def take_off(
        self, c: Matrix, rows: Extent, columns: Extent, a: Matrix, b: Matrix, depth: Extent,
        solve: Callable[[str], None] | None = None, below: bool = False,
    ) -> None:  # fmt: skip
        """c -= a b, of `depth` steps of a sum. solve(panel): what becomes of some columns of b first, in memory too, given row after row.
        below: of c no more is wanted than what is below its diagonal and on it."""
        w, width = self.w, self.width
        rows, columns = span(rows), span(columns)
        tiles = ix.div(ix.add(rows, ix.const(ROWS - 1)), ROWS, w.ranges)
        self._pack(a, rows, tiles, depth)
        with w.loop("serial", ix.div(ix.add(columns, ix.const(width - 1)), width, w.ranges)) as p:
            j0 = ix.mul(p, width)
            left = w.index_value(ix.sub(columns, j0))
            whole = w.ge(left, width)
            with w.loop("serial", depth) as k, w.loop("vector", width, width, True) as v:
                there = w.lt(w.index_value(v), left)
                x = w.load(b.buf, b.place(k, ix.add(j0, v)), self.dtype, there, pinned=True)
                w.store(self.panel, ix.add(ix.mul(k, width), v), x)
            if solve is not None:
                solve(self.panel)
                with w.loop("serial", depth) as k, w.loop("vector", width, width, True) as v:
                    x = w.load(self.panel, ix.add(ix.mul(k, width), v), self.dtype, pinned=True)
                    w.store(b.buf, b.place(k, ix.add(j0, v)), x, w.lt(w.index_value(v), left))
            first = ix.div(j0, ROWS, w.ranges) if below else ZERO
            with w.loop("serial", ix.sub(tiles, first)) as t:
                tile = ix.add(first, t)
                i0 = ix.mul(tile, ROWS)
                full = w.and_(whole, w.le(w.index_value(ix.add(i0, ix.const(ROWS))), w.index_value(rows)))
                with w.when(full):
                    self._tile(c, i0, j0, tile, depth, None, None)
                with w.when(w.not_(full)):
                    self._tile(c, i0, j0, tile, depth, rows, left)

    def _pack(self, a: Matrix, rows: Index, tiles: Index, depth: Extent) -> None:
        """The left factor, a tile of rows behind the other."""
        w = self.w
        with w.loop("serial", tiles) as t, w.loop("serial", depth) as k, w.loop("serial", ROWS) as u:
            i = ix.add(ix.mul(t, ROWS), u)
            x = w.load(a.buf, a.place(i, k), self.dtype, w.lt(w.index_value(i), w.index_value(rows)), pinned=True)
            w.store(self.left, self._in_left(t, k, u), x)

    def _in_left(self, tile: Index, k: Index, u: Index) -> Index:
        return ix.add(ix.mul(ix.add(ix.mul(tile, self.depth), k), ROWS), u)

    def _tile(self, c: Matrix, i0: Index, j0: Index, tile: Index, depth: Extent, rows: Index | None, left: Scalar | None) -> None:
        """A tile; rows, left: how many rows c has, and how many columns from the tile on, where not all of the tile's are there."""
        w, dtype, width = self.w, self.dtype, self.width
        with w.loop("vector", width, width, True) as v:
            acc = w.acc(dtype, 0, (ROWS,))
            with w.loop("serial", depth) as k:
                x = w.load(self.panel, ix.add(ix.mul(k, width), v), dtype, pinned=True)
                with w.loop("unroll", ROWS) as u:
                    w.reduce((acc,), "fma", (w.load(self.left, self._in_left(tile, k, u), dtype, pinned=True), x), (u,))
            with w.loop("unroll", ROWS) as u:
                i, mask = ix.add(i0, u), None
                if rows is not None and left is not None:
                    mask = w.and_(w.lt(w.index_value(i), w.index_value(rows)), w.lt(w.index_value(v), left))
                to = c.place(i, ix.add(j0, v))
                x = w.sub(w.load(c.buf, to, dtype, mask, pinned=True), w.get_acc(acc, dtype, (u,)))
                w.store(c.buf, to, x, mask)

    def solver(self, triangle: Matrix, size: Extent, unit: bool, upper: bool = False) -> Callable[[str], None]:
        """What solves for a panel: triangle x = panel, of `size` rows."""
        w, dtype, width = self.w, self.dtype, self.width

        def solve(panel: str) -> None:
            n = span(size)
            with w.loop("serial", n) as step:
                k = ix.sub(ix.sub(n, step), ix.const(1)) if upper else step
                with w.loop("vector", width, width, True) as v:
                    here = ix.add(ix.mul(k, width), v)
                    x = w.load(panel, here, dtype, pinned=True)
                    if not unit:
                        x = w.div(x, w.load(triangle.buf, triangle.place(k, k), dtype, pinned=True))
                        w.store(panel, here, x)
                    with w.loop("serial", k if upper else ix.sub(ix.sub(n, k), ix.const(1))) as r:
                        i = r if upper else ix.add(ix.add(k, ix.const(1)), r)
                        to = ix.add(ix.mul(i, width), v)
                        f = w.neg(w.load(triangle.buf, triangle.place(i, k), dtype, pinned=True))
                        w.store(panel, to, w.fma(f, x, w.load(panel, to, dtype, pinned=True)))

        return solve
