"""Sorting, also for the first elements in order: a stable merge sort, an element to a thread.

A kernel for each level: sorted runs are merged in pairs, and every element finds its place among those of the other run by bisection.
"""

from __future__ import annotations

from collections.abc import Callable

from ingot.backends.cuda.block_kernel import BlockKernel, threads_for, verify_threads
from ingot.ir import dtypes
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import Point, delinear, linear
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.schedule import Schedule
from ingot.ir.lower.sort import before, length, levels
from ingot.ir.lower.target import Kind
from ingot.ir.lower.writer import Scalar
from ingot.ir.machine import Machine
from ingot.ir.struct import value_type
from ingot.ir.types import tensor_type

__all__ = ["MergeSort", "SORT"]

i64 = dtypes.i64


@value_type
class MergeSort(Schedule):
    """An element to a thread, `threads` to a block."""

    threads: int

    def verify(self, group: Group) -> None:
        verify_threads(threads=self.threads)


def _choose(group: Group, machine: Machine) -> MergeSort:
    return MergeSort(threads_for(group.nodes[0].inputs[0].type.numel))


def _emit(group: Group, s: MergeSort, check: Callable[[Node], int]) -> list[Written]:
    e = _Emission(group, s, check)
    if e.numel == 0:
        return []
    last = levels(e.n)
    copies = [e.copy() for _ in range(last)]  # where the levels before the last put what they made
    return [e.begin(copies[0] if last else None)] + [
        e.merge(copies[level], copies[level + 1] if level + 1 < last else None, 1 << level) for level in range(last)
    ]


Pair = tuple[Value, Value]  # values and their places, line after line


class _Emission:
    def __init__(self, group: Group, s: MergeSort, check: Callable[[Node], int]):
        self.group, self.s, self.check = group, s, check
        self.node = group.nodes[0]
        (self.x,) = self.node.inputs
        self.axis, self.descending, *count = self.node.attrs
        self.count = count[0] if count else length(self.node)
        self.shape, self.dtype, self.numel = self.x.type.shape, self.x.type.dtype, self.x.type.numel
        self.n = length(self.node)
        self.others = tuple(d for a, d in enumerate(self.shape) if a != self.axis)

    def copy(self) -> Pair:
        """Global memory for all lines."""
        return Value(tensor_type(self.dtype, (self.numel,))), Value(tensor_type(i64, (self.numel,)))

    def place(self, line: Index, j: Index, ranges: dict[str, int]) -> Point:
        """The point of the j-th element of a line."""
        if not self.shape:
            return ()
        at = delinear(line, self.others, ranges)
        return (*at[: self.axis], j, *at[self.axis :])

    def kernel(self, name: str, body: Callable[[BlockKernel, Index, Index], None]) -> Written:
        """`body(k, line, j)` for every element."""
        k = BlockKernel(self.group, name, self.check)
        ranges = k.w.ranges
        k.each(self.numel, self.s.threads, lambda i: body(k, ix.div(i, self.n, ranges), ix.mod(i, self.n, ranges)))
        return k.finish(self.s)

    def put(self, k: BlockKernel, to: Pair | None, line: Index, j: Index, value: Scalar, place: Scalar) -> None:
        """Store the j-th element of a line in a copy, or (None) in the results."""
        if to is not None:
            for v, x in zip(to, (value, place)):
                k.w.store(k.buffer(v, "w"), ix.add(ix.mul(line, self.n), j), x)
            return
        kept = None if self.count == self.n else k.w.lt(k.w.index_value(j), self.count)
        for v, x in zip(self.node.outputs, (value, place)):
            k.w.store(k.buffer(v, "w"), linear(self.place(line, j, k.w.ranges), v.type.shape), x, kept)

    def begin(self, to: Pair | None) -> Written:
        """Every element and its place: runs of one element."""

        def body(k: BlockKernel, line: Index, j: Index) -> None:
            self.put(k, to, line, j, k.elements().at(self.x, self.place(line, j, k.w.ranges)), k.w.index_value(j))

        return self.kernel("sort_begin", body)

    def merge(self, source: Pair, to: Pair | None, half: int) -> Written:
        """Merge pairs of runs of `half` elements."""

        def body(k: BlockKernel, line: Index, j: Index) -> None:
            w = k.w
            values, places = (k.buffer(v, "r") for v in source)
            base = ix.mul(line, self.n)
            here = ix.add(base, j)
            mine = w.load(values, here, self.dtype)
            pair = ix.mul(ix.div(j, 2 * half, w.ranges), 2 * half)
            left = w.lt(w.index_value(ix.sub(j, pair)), half)
            # the other run: where it begins, and how long it is
            other = w.select(left, w.index_value(ix.add(pair, ix.const(half))), w.index_value(pair))
            count = w.max(w.min(w.sub(w.const(self.n, i64), other), half), 0)
            low, high = w.acc(i64, 0), w.acc(i64, 0)
            w.set_acc(high, count)
            with w.loop("serial", half.bit_length()):
                a, b = w.get_acc(low, i64), w.get_acc(high, i64)
                open_ = w.lt(a, b)
                middle = w.shr(w.add(a, b), 1)
                at = ix.add(base, w.as_index(w.add(other, middle)))
                theirs = w.load(values, at, self.dtype, open_, pinned=True)
                # of equal elements those of the left run come first
                first = w.select(
                    left, before(w, self.dtype, self.descending, mine, theirs), w.not_(before(w, self.dtype, self.descending, theirs, mine))
                )
                w.set_acc(low, w.select(w.and_(open_, first), w.add(middle, 1), a))
                w.set_acc(high, w.select(w.and_(open_, w.not_(first)), middle, b))
            own = w.select(left, w.index_value(ix.sub(j, pair)), w.index_value(ix.sub(j, ix.add(pair, ix.const(half)))))
            target = ix.add(pair, w.as_index(w.add(own, w.get_acc(low, i64))))
            self.put(k, to, line, target, mine, w.load(places, here, i64))

        return self.kernel(f"sort_merge_{half}", body)


SORT = Kind(_choose, _emit)
