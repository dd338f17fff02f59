"""Fourier transforms on CPUs as a kind of group.

Short ones are made of rows side by side, turned so that each has a lane. A long one of n = a b numbers is one of b columns of a numbers,
times roots of unity, then of a columns of b numbers: the numbers between lie turned, and all vectors along what is contiguous.
Source: Bailey, FFTs in external or hierarchical memory (1990).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np

from ingot.ir import dtypes
from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.ir import Transpose
from ingot.ir.loop.points import ZERO, linear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.fourier.butterflies import Number, times
from ingot.ir.lower.fourier.columns import SQUARE, Columns, End, pairs
from ingot.ir.lower.fourier.plan import padded, radices, roots, split
from ingot.ir.lower.fourier.real import mirrored, to_halves, to_pairs
from ingot.ir.lower.fourier.routines import routine_of, side_by_side, takes
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.matrices.blocks import Matrix, turned
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.lower.target import Kind
from ingot.ir.lower.writer import Scalar
from ingot.ir.machine import Machine
from ingot.ir.size import ceil_div
from ingot.ir.struct import value_type
from ingot.ir.types import Dim

__all__ = ["FOURIER", "Fourier"]

TABLE = 1 << 12  # complex numbers in a table; what is more is made of a smaller one and of roots that are calculated
APART = 1 << 14  # numbers from which on the blocks of a row are chunks of their own, where there are few rows


@value_type
class Fourier(Schedule):
    """`chunk` items at a time, on columns in `width` lanes. split: the two lengths of columns; (n, 1): rows are turned, `width` of them
    are an item. apart: an item is a block of columns; else a row."""

    chunk: int
    width: int
    split: tuple[int, int]
    apart: bool = False

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        at_least_one(chunk=self.chunk)
        lanes(self.width)
        (a, b), r = self.split, routine_of(group.nodes[0].attrs[0])
        if r is None or self.width < SQUARE or a * b != r.n or self.apart and b == 1 or any(k > 1 and radices(k) is None for k in (a, b)):
            raise ScheduleError(f"{self}: no transform of so many numbers")
        if b > 1 and (r.real or r.columns is not None):
            raise ScheduleError(f"{self}: columns, and rows of real numbers, are transformed whole")


def _choose(group: Group, machine: Machine) -> Fourier:
    r = routine_of(group.nodes[0].attrs[0])
    assert r is not None
    n, width = r.n, max(SQUARE, machine.lanes(group.nodes[0].inputs[0].type.dtype.bits))
    work = machine.chunk_elements // 4
    if r.real or r.columns is not None or side_by_side(n, r.rows, width):
        return Fourier(max(1, work // (n * width)), width, (n, 1))
    both = split(n, width)
    if n >= APART and assumed(r.rows) < machine.workers:
        return Fourier(max(1, work // (width * max(both))), width, both, True)
    return Fourier(max(1, work // n), width, both)


class _Transform:
    """The kernel of a batch of transforms."""

    def __init__(self, group: Group, s: Fourier, check: Callable[[Node], int]):
        node = group.nodes[0]
        r = routine_of(node.attrs[0])
        assert r is not None
        self.k, self.s, self.routine = GroupKernel(group, "fourier", check), s, r
        self.w, self.dtype = self.k.w, node.inputs[0].type.dtype
        self.sign, self.rows, self.n = r.sign, r.rows, r.n
        self.source, self.out = self.k.buffer(node.inputs[0], "r"), self.k.buffer(node.outputs[0], "w")

    # -- rows side by side ---------------------------------------------------------------------------------------

    def side_by_side(self) -> None:
        """As many rows as there are lanes at a time."""
        w, n, width, real = self.w, self.n, self.s.width, self.routine.real
        takes_, gives = (2 * (n + (real and self.sign == s)) for s in (1, -1))  # a real row's half has one number more
        if self.routine.whole:
            gives = 4 * n

        def item(i: Index) -> None:
            left = w.rest(i, width, self.rows)
            columns = Columns(w, self.dtype, n, width, self.sign, gives // 2)
            origin, to = (Matrix(buf, ix.mul(i, k * width), k) for buf, k in ((self.source, takes_), (self.out, gives)))
            turned(w, self.dtype, Matrix(columns.copies[0], ZERO, width), origin, left, takes_)
            if real and self.sign > 0:
                to_pairs(columns)
            columns.run()
            if real and self.sign < 0:
                to_halves(columns)
            if self.routine.whole:
                mirrored(columns)
            turned(w, self.dtype, to, Matrix(columns.last, ZERO, width), gives, left)

        w.chunks(ceil_div(self.rows, width), self.s.chunk, item)

    # -- columns side by side ------------------------------------------------------------------------------------

    def lying(self, many: Dim) -> None:
        """As many of `many` columns as there are lanes at a time."""
        w, n, width = self.w, self.n, self.s.width
        blocks = ceil_div(many, width)

        def item(i: Index) -> None:
            row, block = ix.div(i, blocks, w.ranges), ix.mod(i, blocks, w.ranges)
            first = ix.mul(block, width)

            def place(j: Index, lane: Index, part: int) -> Index:
                return linear((row, j, ix.add(first, lane), ix.const(part)), (self.rows, n, many, 2))

            def get(j: Index, lane: Index) -> Number:
                return w.load(self.source, place(j, lane, 0), self.dtype), w.load(self.source, place(j, lane, 1), self.dtype)

            def put(j: Index, lane: Index, x: Number) -> None:
                for part in (0, 1):
                    w.store(self.out, place(j, lane, part), x[part])

            some = self._some(block, many)
            Columns(w, self.dtype, n, width, self.sign).run(End(some, get=get), End(some, put=put))

        w.chunks(self.rows * blocks, self.s.chunk, item)

    # -- two times columns ---------------------------------------------------------------------------------------

    def by_columns(self) -> None:
        """Each row by itself; or, where blocks of it are items, all first halves, then all second ones."""
        w, (a, b), s = self.w, self.s.split, self.s
        self.down = padded(a, s.width)  # from a row of the numbers between to the next: real parts, then imaginary ones
        size = 2 * self.down * padded(b, s.width)
        first, second = (-(-n // s.width) for n in (b, a))  # blocks
        if not s.apart:

            def row(i: Index) -> None:
                self.between = w.scratch(self.dtype, size, "worker")
                with w.loop("serial", first) as block:
                    self.begin(i, ZERO, block)
                with w.loop("serial", second) as block:
                    self.end(i, ZERO, block)

            w.chunks(self.rows, s.chunk, row)
            return
        self.between = w.scratch(self.dtype, self.rows * size, "kernel")
        for many, half in ((first, self.begin), (second, self.end)):

            def block(i: Index, many: int = many, half: Callable[..., None] = half) -> None:
                row = ix.div(i, many, w.ranges)
                half(row, ix.mul(row, size), ix.mod(i, many, w.ranges))

            w.chunks(self.rows * many, s.chunk, block)

    def _some(self, block: Index, n: Dim) -> Callable[[], AbstractContextManager[Index]]:
        """The loop over the lanes of a block of n columns that are there."""
        w, width = self.w, self.s.width
        return lambda: w.loop("vector", w.rest(block, width, n), width, isinstance(n, int) and n % width == 0)

    def begin(self, row: Index, at: Index, block: Index) -> None:
        """Columns at a distance, times roots, into the rows of what is between, turned."""
        w, (a, b), width = self.w, self.s.split, self.s.width
        first = ix.mul(block, width)
        columns = Columns(w, self.dtype, a, width, self.sign)
        turn = self._roots(block)
        origin = ix.mul(ix.add(ix.mul(row, self.n), first), 2)

        def get(j: Index, lane: Index) -> Number:
            place = ix.add(origin, ix.mul(ix.add(ix.mul(j, b), lane), 2))
            return w.load(self.source, place, self.dtype), w.load(self.source, ix.add(place, ix.const(1)), self.dtype)

        def put(j: Index, lane: Index, x: Number) -> None:
            columns.put(columns.last, j, lane, times(w, x, turn(j, lane)))

        columns.run(End(self._some(block, b), get=get), End(columns.whole, put=put))
        with w.loop("serial", padded(a, SQUARE) // SQUARE) as squares:
            j = ix.mul(squares, SQUARE)
            for lane in range(0, width, SQUARE):
                for part in (0, 1):
                    to = ix.add(ix.add(at, ix.mul(ix.add(ix.mul(ix.add(first, ix.const(lane)), 2), ix.const(part)), self.down)), j)
                    source = ix.add(columns.row(j, part), ix.const(lane))
                    w.append(Transpose(self.between, to, 2 * self.down, columns.last, source, 2 * width, SQUARE))

    def end(self, row: Index, at: Index, block: Index) -> None:
        """Columns of what is between, to where results lie."""
        w, (a, b), width = self.w, self.s.split, self.s.width
        first = ix.mul(block, width)
        columns = Columns(w, self.dtype, b, width, self.sign)
        origin = ix.mul(ix.add(ix.mul(row, self.n), first), 2)

        def get(j: Index, lane: Index) -> Number:
            re, im = (ix.add(ix.add(at, ix.add(first, lane)), ix.mul(ix.add(ix.mul(j, 2), ix.const(p)), self.down)) for p in (0, 1))
            return w.load(self.between, re, self.dtype, pinned=True), w.load(self.between, im, self.dtype, pinned=True)

        def put(j: Index, lane: Index, x: Number) -> None:
            place = ix.add(origin, ix.mul(ix.add(ix.mul(j, a), lane), 2))
            w.store(self.out, place, x[0])
            w.store(self.out, ix.add(place, ix.const(1)), x[1])

        some = self._some(block, a)
        columns.run(End(some, get=get), End(some, put=put))

    # -- the roots between ---------------------------------------------------------------------------------------

    def _roots(self, block: Index) -> Callable[[Index, Index], Number]:
        """What number j of a lane's column is multiplied by: w ** (j column). Where a table of all is too large: w ** (j lane) of a
        table, times w ** (j first) of another, or calculated before the block."""
        w, (a, b), width = self.w, self.s.split, self.s.width
        blocks = -(-b // width)
        parts = (0, 1)
        if padded(b, width) * a <= TABLE:
            p, j, lane = np.mgrid[0:blocks, 0:a, 0:width]
            turns = np.stack(roots(j * (p * width + lane) % self.n, self.n, self.sign), 2)
            table = w.table(self.dtype, turns.astype(self.dtype.numpy).tobytes())
            return lambda j, lane: tuple(  # type: ignore[return-value]
                w.load(table, ix.add(ix.mul(ix.add(ix.mul(ix.add(ix.mul(block, a), j), 2), ix.const(q)), width), lane), self.dtype)
                for q in parts
            )
        j, lane = np.mgrid[0:a, 0:width]
        near = w.table(self.dtype, np.stack(roots(j * lane % self.n, self.n, self.sign), 1).astype(self.dtype.numpy).tobytes())
        if blocks * a <= TABLE:
            p, j = np.mgrid[0:blocks, 0:a]
            far, pinned = w.table(self.dtype, pairs(self.dtype, *roots(p * width * j, self.n, self.sign))), False
            begin = ix.mul(block, 2 * a)
        else:
            far, begin, pinned = w.scratch(self.dtype, 2 * a, "worker"), ZERO, True
            step = w.cast(w.index_value(ix.mul(block, width)), dtypes.f64)
            lanes_ = max(2, width // 2)
            with w.loop("vector", a, lanes_, a % lanes_ == 0) as v:
                turn = self._root(w.mul(w.cast(w.index_value(v), dtypes.f64), step))
                for q in parts:
                    w.store(far, ix.add(ix.mul(v, 2), ix.const(q)), w.cast(turn[q], self.dtype))

        def turn_of(j: Index, lane: Index) -> Number:
            at = ix.add(begin, ix.mul(j, 2))
            one = tuple(w.load(far, ix.add(at, ix.const(q)), self.dtype, pinned=pinned) for q in parts)
            other = tuple(w.load(near, ix.add(ix.mul(ix.add(ix.mul(j, 2), ix.const(q)), width), lane), self.dtype) for q in parts)
            return times(w, other, one)  # type: ignore[arg-type]

        return turn_of

    def _root(self, k: Scalar) -> Number:
        """exp(sign 2 pi i k / n) for a whole number below n, in float64: by series within an eighth of a turn."""
        w, n = self.w, self.n
        quarter = w.rint(w.mul(k, 4.0 / n))
        angle = w.mul(w.sub(w.mul(k, 4.0), w.mul(quarter, float(n))), np.pi / 2 / n)
        square = w.mul(angle, angle)
        c = s = w.const(1.0, dtypes.f64)
        for j in reversed(range(1, 10)):
            c = w.fma(w.mul(square, c), -1.0 / ((2 * j - 1) * (2 * j)), w.const(1.0, dtypes.f64))
            s = w.fma(w.mul(square, s), -1.0 / ((2 * j) * (2 * j + 1)), w.const(1.0, dtypes.f64))
        s = w.mul(s, angle)
        odd = w.or_(w.eq(quarter, 1.0), w.eq(quarter, 3.0))
        re, im = w.select(odd, s, c), w.select(odd, c, s)
        re = w.select(w.or_(w.eq(quarter, 1.0), w.eq(quarter, 2.0)), w.neg(re), re)
        im = w.select(w.or_(w.eq(quarter, 2.0), w.eq(quarter, 3.0)), w.neg(im), im)
        return re, im if self.sign > 0 else w.neg(im)


def _emit(group: Group, s: Fourier, check: Callable[[Node], int]) -> list[Written]:
    made = _Transform(group, s, check)
    if made.routine.columns is not None:
        made.lying(made.routine.columns)
    elif s.split[1] == 1:
        made.side_by_side()
    else:
        made.by_columns()
    return [made.k.finish(s)]


FOURIER = Kind(_choose, _emit, takes)
