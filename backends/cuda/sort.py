"""Sorting, also for the first elements in order: a stable merge sort.

A block sorts a piece of a line, or a few short lines, in shared memory; then a kernel for each level merges sorted runs in pairs, an
element to a thread. Every element finds its place among those of the other run by bisection, so that nothing is in a row but that.
A kernel of merging is told the level by a parameter: one serves all.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import reduce

from ingot.backends.cuda.block_kernel import THREADS, WARP, BlockKernel, power_of_two, verify_threads
from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import Point, delinear, linear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.schedule import Schedule, ScheduleError
from ingot.ir.lower.sort import before, length, levels, other_dims
from ingot.ir.lower.target import Kind
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.machine import Machine
from ingot.ir.size import bounds, ceil_div, larger, smaller
from ingot.ir.struct import value_type
from ingot.ir.types import Dim, tensor_type

__all__ = ["Lines", "MergeSort", "SORT", "schedule_of", "sorted_by"]

i64 = dtypes.i64
PIECE = 1024  # elements of a line that a block sorts
MOST_LEVELS = 40  # of a line whose length has no bound


@value_type
class MergeSort(Schedule):
    """A block of `threads` sorts pieces of `piece` elements of `lines` lines; merges have an element to a thread.

    Pieces, lines and threads are powers of two.
    """

    threads: int
    piece: int
    lines: int = 1

    def verify(self, group: Group) -> None:
        verify_threads(threads=self.threads, piece=self.piece, lines=self.lines, block=self.piece * self.lines)
        if self.piece * self.lines < self.threads:
            raise ScheduleError(f"{self}: more threads than elements of a block")


def sorted_by(e: Lines) -> list[Written]:
    """The kernels that sort; none where there are no elements."""
    if 0 in (e.n, e.lines):
        return []
    first = levels(e.s.piece)
    if isinstance(e.n, int):
        last = max(first, levels(e.n))
        copies = [e.copy() for _ in range(last - first)]  # where the levels before the last put what they made
        return [e.pieces(copies[0] if copies else None)] + [
            e.merge(copies[k], copies[k + 1] if k + 1 < len(copies) else None, first + k) for k in range(len(copies))
        ]
    most = bounds(e.n)[1]
    last = min(levels(int(most)), MOST_LEVELS) if most != math.inf else MOST_LEVELS
    if last <= first:
        return [e.pieces(None)]
    sides = e.copy(), e.copy()
    merges = [e.merge(sides[k % 2], sides[1 - k % 2], first + k) for k in range(last - first)]
    return [e.pieces(sides[0]), *merges, e.end(sides, first, last)]


def schedule_of(n: Dim, lines: Dim) -> MergeSort:
    """How lines of n elements are sorted."""
    piece = min(PIECE, power_of_two(assumed(n))) if isinstance(n, int) else PIECE
    some = max(min(power_of_two(assumed(lines)), THREADS // piece), WARP // piece, 1)
    return MergeSort(min(THREADS, piece * some), piece, some)


Pair = tuple[Value, Value]  # values and their places, line after line


def _target(w: KernelWriter, dtype: DType, descending: bool, half: Scalar, j: Scalar, count: Scalar, mine: Scalar,
            load: Callable[[Scalar, Scalar], Scalar], steps: Index | Dim) -> Scalar:  # fmt: skip
    """Where the j-th of `count` elements goes as runs of `half` are merged in pairs. load(place, mask): another one of them;
    steps: of a bisection of `half`."""
    both = w.add(half, half)
    pair = w.and_(j, w.sub(w.const(0, i64), both))  # runs are powers of two
    left = w.lt(w.sub(j, pair), half)
    other = w.select(left, w.add(pair, half), pair)  # where the other run begins, and how long it is
    there = w.max(w.min(w.sub(count, other), half), 0)
    low, high = w.acc(i64, 0), w.acc(i64, 0)
    w.set_acc(high, there)
    with w.loop("serial", steps):
        a, b = w.get_acc(low, i64), w.get_acc(high, i64)
        open_ = w.lt(a, b)
        middle = w.shr(w.add(a, b), 1)
        theirs = load(w.add(other, middle), open_)
        # of equal elements those of the left run come first
        first = w.select(left, before(w, dtype, descending, mine, theirs), w.not_(before(w, dtype, descending, theirs, mine)))
        w.set_acc(low, w.select(w.and_(open_, first), w.add(middle, 1), a))
        w.set_acc(high, w.select(w.and_(open_, w.not_(first)), middle, b))
    own = w.select(left, w.sub(j, pair), w.sub(w.sub(j, pair), half))
    return w.add(w.add(pair, own), w.get_acc(low, i64))


class Lines(ABC):
    """Lines to be sorted: `lines` of `n` elements of `dtype`."""

    def __init__(self, group: Group, s: MergeSort, check: Callable[[Node], int], dtype: DType, n: Dim, lines: Dim, descending: bool):
        self.group, self.s, self.check = group, s, check
        self.dtype, self.n, self.lines, self.descending = dtype, n, lines, descending

    @abstractmethod
    def element(self, k: BlockKernel, line: Index, j: Index) -> Scalar:
        """The j-th element of a line."""

    @abstractmethod
    def result(self, k: BlockKernel, line: Index, j: Index, value: Scalar, place: Scalar, mask: Scalar | None) -> None:
        """Store what is the j-th in order, and where it stood."""

    def copy(self) -> Pair:
        """Global memory for all lines."""
        shape = (self.lines * self.n,)
        return Value(tensor_type(self.dtype, shape)), Value(tensor_type(i64, shape))

    def put(self, k: BlockKernel, to: Pair | None, line: Index, j: Index, value: Scalar, place: Scalar, mask: Scalar | None = None) -> None:
        """Store the j-th element of a line in a copy, or (None) in the results."""
        if to is None:
            self.result(k, line, j, value, place, mask)
            return
        for v, x in zip(to, (value, place)):
            k.w.store(k.buffer(v, "w"), ix.add(ix.mul(line, self.n), j), x, mask)

    # -- in shared memory --------------------------------------------------------------------------------------------

    def pieces(self, to: Pair | None) -> Written:
        """Sort every piece: runs double from one half of shared memory to the other."""
        s, dtype = self.s, self.dtype
        k = BlockKernel(self.group, "sort_pieces", self.check)
        w, size = k.w, s.piece * s.lines
        lines, per = self.lines, ceil_div(self.n, s.piece)
        values, places = k.shared(dtype, 2 * size), k.shared(dtypes.i32, 2 * size)

        with k.grid(ceil_div(lines, s.lines) * per, s.threads) as (g, t):

            def each(body: Callable[[Index, Index, Index, Scalar, Scalar], None]) -> None:
                """body(e, line, j, in the line's piece, how many these are) for the thread's own elements that are there."""
                with w.loop("serial", size // s.threads) as turn:
                    e = ix.add(ix.mul(turn, s.threads), t)
                    here, j = ix.div(e, s.piece, w.ranges), ix.mod(e, s.piece, w.ranges)
                    line = ix.add(ix.mul(ix.div(g, per, w.ranges), s.lines), here)
                    start = ix.mul(ix.mod(g, per, w.ranges), s.piece)
                    count = w.min(w.index_value(ix.sub(ix.const(self.n), start)), s.piece)
                    there = w.and_(w.lt(w.index_value(line), lines), w.lt(w.index_value(j), count))
                    with w.when(there):
                        body(e, line, ix.add(start, j), w.index_value(j), count)

            def begin(e: Index, line: Index, j: Index, here: Scalar, count: Scalar) -> None:
                w.store(values, e, self.element(k, line, j))
                w.store(places, e, w.cast(here, dtypes.i32))

            each(begin)
            k.barrier()
            with w.loop("serial", levels(s.piece)) as level:
                side, half = ix.mul(ix.mod(level, 2, w.ranges), size), w.shl(w.const(1, i64), w.index_value(level))

                def merge(e: Index, line: Index, j: Index, here: Scalar, count: Scalar) -> None:
                    base = ix.add(side, ix.sub(e, w.as_index(here)))
                    mine = w.load(values, ix.add(side, e), dtype, pinned=True)

                    def load(at: Scalar, mask: Scalar) -> Scalar:
                        return w.load(values, ix.add(base, w.as_index(at)), dtype, mask, pinned=True)

                    to = _target(w, dtype, self.descending, half, here, count, mine, load, ix.add(level, ix.const(1)))
                    there = ix.add(ix.sub(ix.sub(ix.const(size), side), w.as_index(here)), ix.add(e, w.as_index(to)))
                    w.store(values, there, mine)
                    w.store(places, there, w.load(places, ix.add(side, e), dtypes.i32, pinned=True))

                each(merge)
                k.barrier()
            last = ix.const(size * (levels(s.piece) % 2))

            def finish(e: Index, line: Index, j: Index, here: Scalar, count: Scalar) -> None:
                place = w.cast(w.load(places, ix.add(last, e), dtypes.i32, pinned=True), i64)
                place = w.add(place, w.index_value(ix.mul(ix.mod(g, per, w.ranges), s.piece)))
                self.put(k, to, line, j, w.load(values, ix.add(last, e), dtype, pinned=True), place)

            each(finish)
        return k.finish(s)

    # -- in global memory --------------------------------------------------------------------------------------------

    def merge(self, source: Pair, to: Pair | None, level: int) -> Written:
        """Merge pairs of runs of 2^level elements; of lines that have no second run, nothing, where that is known only at run time."""
        k = BlockKernel(self.group, "sort_merge", self.check)
        w = k.w
        shift = k.number(level)
        needed: Dim = 1 if isinstance(self.n, int) else larger(0, smaller(1, self.n // ((1 << level) + 1)))

        def body(i: Index) -> None:
            values, places = (k.buffer(v, "r") for v in source)
            line, j = ix.div(i, self.n, w.ranges), ix.mod(i, self.n, w.ranges)
            base, here = ix.mul(line, self.n), w.index_value(j)
            mine = w.load(values, i, self.dtype)

            def load(at: Scalar, mask: Scalar) -> Scalar:
                return w.load(values, ix.add(base, w.as_index(at)), self.dtype, mask, pinned=True)

            half, count = w.shl(w.const(1, i64), shift), w.index_value(ix.const(self.n))
            target = _target(w, self.dtype, self.descending, half, here, count, mine, load, w.as_index(w.add(shift, 1)))
            self.put(k, to, line, w.as_index(target), mine, w.load(places, i, i64))

        k.each(self.lines * self.n, self.s.threads, body, needed)
        return k.finish(self.s)

    def end(self, sides: tuple[Pair, Pair], first: int, last: int) -> Written:
        """The results, from the side where the last level that was needed has left them."""
        k = BlockKernel(self.group, "sort_end", self.check)
        w = k.w

        def body(i: Index) -> None:
            n = w.index_value(ix.const(self.n))
            made = [w.cast(w.gt(n, 1 << level), i64) for level in range(first, last)]
            second = w.ne(w.and_(reduce(w.add, made), 1), 0)
            other = w.not_(second)
            line, j = ix.div(i, self.n, w.ranges), ix.mod(i, self.n, w.ranges)
            found = [
                w.select(second, w.load(k.buffer(b, "r"), i, d, second), w.load(k.buffer(a, "r"), i, d, other))
                for a, b, d in zip(*sides, (self.dtype, i64))
            ]
            self.put(k, None, line, j, *found)

        k.each(self.lines * self.n, self.s.threads, body)
        return k.finish(self.s)


class _OfNode(Lines):
    """The lines of a node that sorts, or has the first elements in order."""

    def __init__(self, group: Group, s: MergeSort, check: Callable[[Node], int]):
        self.node = group.nodes[0]
        (self.x,) = self.node.inputs
        self.axis, descending, *count = self.node.attrs
        self.others = other_dims(self.node)
        super().__init__(group, s, check, self.x.type.dtype, length(self.node), math.prod(self.others), descending)
        self.count = count[0] if count else self.n

    def place(self, k: BlockKernel, line: Index, j: Index) -> Point:
        """The point of the j-th element of a line."""
        if not self.x.type.shape:
            return ()
        at = delinear(line, self.others, k.w.ranges)
        return (*at[: self.axis], j, *at[self.axis :])

    def element(self, k: BlockKernel, line: Index, j: Index) -> Scalar:
        """The j-th element of a line."""
        return k.elements().at(self.x, self.place(k, line, j))

    def result(self, k: BlockKernel, line: Index, j: Index, value: Scalar, place: Scalar, mask: Scalar | None) -> None:
        """Store what is the j-th in order, and where it stood, as far as results go."""
        w = k.w
        if self.count != self.n:
            kept = w.lt(w.index_value(j), self.count)
            mask = kept if mask is None else w.and_(mask, kept)
        for v, x in zip(self.node.outputs, (value, place)):
            if v in k.group.outputs:
                w.store(k.buffer(v, "w"), linear(self.place(k, line, j), v.type.shape), x, mask)


def _choose(group: Group, machine: Machine) -> MergeSort:
    node = group.nodes[0]
    return schedule_of(length(node), math.prod(other_dims(node)))


def _emit(group: Group, s: MergeSort, check: Callable[[Node], int]) -> list[Written]:
    return sorted_by(_OfNode(group, s, check))


SORT = Kind(_choose, _emit)
