"""Copying A to scratch: where it is padded, converted, or made by something else than a load, and where its channels lie apart.

A tile reads a few rows at a time, one step of k after the other. Where the channels of the value lie a plane apart, each of these steps
is on another page: such a value is copied with its channels last, by squares that are transposed in registers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.ir import Transpose
from ingot.ir.loop.points import Point, delinear, linear
from ingot.ir.lower.group_kernel import GroupKernel
from ingot.ir.lower.tiles.schedule import Lines, Squares
from ingot.ir.lower.tiles.shape import Apart, Copied, apart, coefficient, copied, shape_of
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import exactly, larger

__all__ = ["LoadA", "copy"]

LoadA = Callable[[Point, Point, Point], Scalar]  # the element of A for (batch, m, k)


def copy(k: GroupKernel, s: Lines | Squares) -> LoadA:
    """Write the copy; and how its elements are loaded."""
    return _lines(k, s) if isinstance(s, Lines) else _Turned(k, s).run()


def _lines(k: GroupKernel, s: Lines) -> LoadA:
    w, dtype = k.w, shape_of(k.group.nodes[0]).dtype
    shape, at, where = copied(k.group)
    scratch = w.scratch(dtype, larger(1, math.prod(shape)), "kernel")
    last = shape[-1] if shape else 1

    def line(i: Index) -> None:
        elements = k.elements()
        lead = delinear(i, shape[:-1], w.ranges)
        with w.loop("vector", last, s.width, exactly(last, s.width) is not None) as v:
            w.store(scratch, ix.add(ix.mul(i, last), v), convert(w, at(elements, (*lead, v)), dtype))

    w.chunks(math.prod(shape[:-1]), s.chunk, line)
    return lambda q, m, n: w.load(scratch, linear(where(q, m, n), shape), dtype, pinned=True)


class _Turned:
    """Lines of the last spatial dim, the channels of each of their elements one after the other."""

    def __init__(self, k: GroupKernel, s: Squares):
        self.k, self.w, self.s = k, k.w, s
        f, found = form_of(k.group.nodes[0]), apart(k.group)
        assert found is not None
        self.found: Apart = found
        self.copied: Copied = copied(k.group, (0, *range(2, f.left.type.rank), 1))
        self.source, self.dtype = k.buffer(f.left, "r"), shape_of(k.group.nodes[0]).dtype
        self.channels = int(f.left.type.shape[1])  # type: ignore[arg-type]
        self.pitch = self.channels + s.gap
        self.shape = (*self.copied.shape[:-1], self.pitch)
        self.scratch = self.w.scratch(self.dtype, larger(1, math.prod(self.shape)), "kernel")

    def run(self) -> LoadA:
        w = self.w
        w.chunks(math.prod(self.shape[:-2]), self.s.chunk, self.line)
        return lambda q, m, n: w.load(self.scratch, linear(self.copied.where(q, m, n), self.shape), self.dtype, pinned=True)

    def line(self, i: Index) -> None:
        """A line, or zeros where there is none in the value."""
        w, found = self.w, self.found
        n, *places = delinear(i, self.shape[:-2], w.ranges)
        to = ix.mul(i, found.extent[-1] * self.pitch)
        rows = [ix.add(x, ix.const(-low)) for x, low in zip(places, found.low)]
        there = []
        for row, size, low, extent in zip(rows, found.sizes, found.low, found.extent):
            there += [w.ge(w.index_value(row), 0)] if low else []
            there += [w.lt(w.index_value(row), size)] if extent > low + size else []
        if not there:
            self.turned(n, rows, to)
            return
        inside = reduce(w.and_, there)
        with w.when(inside):
            self.turned(n, rows, to)
        with w.when(w.not_(inside)):
            self.zeros(to, found.extent[-1])

    def zeros(self, to: Index, count: int) -> None:
        w, n = self.w, count * self.pitch
        if n:
            with w.loop("vector", n, self.s.side, n % self.s.side == 0) as v:
                w.store(self.scratch, ix.add(to, v), w.const(0, self.dtype))

    def turned(self, n: Index, rows: list[Index], to: Index) -> None:
        """Squares of a line that lies in the value, between zeros in front and behind."""
        w, side, found = self.w, self.s.side, self.found
        low, size, extent = found.low[-1], found.sizes[-1], found.extent[-1]
        self.zeros(to, low)
        self.zeros(ix.add(to, ix.const((low + size) * self.pitch)), extent - low - size)
        with w.loop("serial", -(-size // side)) as b, w.loop("serial", -(-self.channels // side)) as a:
            x, c = self.early(b, size), self.early(a, self.channels)
            point = (n, c, *rows, x)
            at = reduce(ix.add, (ix.mul(i, coefficient(found.where, f"v{d}")) for d, i in enumerate(point)), Index(found.where.const, ()))
            there = ix.add(to, ix.add(ix.mul(ix.add(x, ix.const(low)), self.pitch), c))
            w.append(Transpose(self.scratch, there, self.pitch, self.source, at, found.channels, side))

    def early(self, i: Index, total: int) -> Index:
        """Where the i-th square begins; the last one early, so that it overlaps its neighbour."""
        w, first = self.w, ix.mul(i, self.s.side)
        return first if total % self.s.side == 0 else w.as_index(w.min(w.index_value(first), total - self.s.side))
