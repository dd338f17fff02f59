"""The first elements in order of each line: those that may be among them are kept, and sorted when there are too many."""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.ir import dtypes
from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import Point, delinear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.network import sort_lines
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.lower.sort import (
    MOST_DIGIT,
    Copy,
    before,
    by_loop,
    items_of,
    length,
    other_dims,
    put,
    sort_line,
    sorted_whole,
    verify_lines,
)  # fmt: skip
from ingot.ir.lower.target import Kind
from ingot.ir.lower.writer import Scalar
from ingot.ir.machine import Machine
from ingot.ir.size import ceil_div
from ingot.ir.struct import value_type

__all__ = ["TOP", "Top"]


@value_type
class Top(Schedule):
    """`chunk` lines at a time, each looked through in blocks of `block` elements, by vectors of `width`. Where the block is 0, lines are
    sorted as a whole: `lines` at once, else (0) by radix with digits of `digit` bits, or (0) merged.

    Few elements of a line are better than the worst that was kept: most blocks are only compared with it.
    """

    chunk: int
    block: int = 0
    width: int = 1
    digit: int = 0
    lines: int = 0

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        at_least_one(chunk=self.chunk)
        lanes(self.width)
        verify_lines(group, self.lines)
        if self.lines and (self.digit or self.block):
            raise ScheduleError(f"{self}: lines are sorted at once, by radix, or looked through")
        if not 0 <= self.digit <= MOST_DIGIT or self.digit and self.block:
            raise ScheduleError(f"{self}: lines are sorted as a whole by digits of at most {MOST_DIGIT} bits")
        if self.block < 0 or self.block % self.width:
            raise ScheduleError(f"{self}: a block is whole vectors")
        count = group.nodes[0].attrs[2]
        if self.block and not (isinstance(count, int) and count):
            raise ScheduleError(f"{self}: how many elements are kept is no number from 1 on")


def _choose(group: Group, machine: Machine) -> Top:
    (node,) = group.nodes
    count, n = node.attrs[2], assumed(length(node))
    if isinstance(count, int) and 0 < count <= n // 8 and n >= 256:
        width = machine.lanes(max(32, node.inputs[0].type.dtype.bits))
        return Top(max(1, machine.chunk_elements // n), 4 * width, width)
    whole = sorted_whole(group, machine)
    return Top(whole.chunk, 0, whole.width, whole.digit, whole.lines if isinstance(count, int) else 0)


def _select_line(k: GroupKernel, s: Top, at: Point) -> None:
    """Look through the line at a point of all other axes."""
    w, elements, node = k.w, k.elements(), k.group.nodes[0]
    (x,) = node.inputs
    axis, descending, count = node.attrs
    dtype, i64, n = x.type.dtype, dtypes.i64, length(node)
    room = 2 * count + s.block  # nothing is sorted before there are more than 2 * count
    line = Copy(w.scratch(dtype, 2 * room, "worker"), w.scratch(i64, 2 * room, "worker"))
    kept, full, worst = w.acc(i64, 0), w.acc(dtypes.i32, 0), w.acc(dtype, False if dtype.kind == "b" else 0)

    def point(j: Index) -> Point:
        return at[:axis] + (j,) + at[axis:]

    def wanted(v: Scalar) -> Scalar:
        """Whether an element may be among the first: of equal ones those that came before are."""
        return w.or_(w.eq(w.get_acc(full, dtypes.i32), 0), before(w, dtype, descending, w.get_acc(worst, dtype), v))

    def cut() -> None:
        best = by_loop(w, dtype, descending, line, w.get_acc(kept, i64), room)
        with w.loop("serial", count) as j:
            for buffer, d in ((line.values, dtype), (line.places, i64)):
                w.store(buffer, j, w.load(buffer, ix.add(best.at, j), d, pinned=True))
        w.set_acc(kept, w.const(count, i64))
        w.set_acc(worst, w.load(line.values, ix.const(count - 1), dtype, pinned=True))
        w.set_acc(full, w.const(1, dtypes.i32))

    with w.loop("serial", ceil_div(n, s.block)) as b:
        first, here = ix.mul(b, s.block), w.rest(b, s.block, n)
        some = w.acc(dtypes.i32, 0)
        with w.loop("vector", here, s.width) as v:
            hit = wanted(elements.at(x, point(ix.add(first, v))))
            w.reduce((some,), "max", (w.select(hit, w.const(1, dtypes.i32), w.const(0, dtypes.i32)),))
        with w.when(w.gt(w.get_acc(some, dtypes.i32), 0)):
            with w.loop("serial", here) as j:
                place = ix.add(first, j)
                value = elements.at(x, point(place))
                with w.when(wanted(value)):
                    to = w.get_acc(kept, i64)
                    w.store(line.values, w.as_index(to), value)
                    w.store(line.places, w.as_index(to), w.index_value(place))
                    w.set_acc(kept, w.add(to, 1))
            with w.when(w.gt(w.get_acc(kept, i64), 2 * count)):
                cut()
    put(k, by_loop(w, dtype, descending, line, w.get_acc(kept, i64), room), point, count)


def _emit(group: Group, s: Top, check: Callable[[Node], int]) -> list[Written]:
    (node,) = group.nodes
    others = other_dims(node)
    k = GroupKernel(group, "top", check)

    def line(i: Index) -> None:
        at = delinear(i, others, k.w.ranges)
        if s.block:
            _select_line(k, s, at)
        else:
            sort_line(k, at, node.attrs[2], s.digit, s.width)

    if s.lines:
        n, (_, descending, count) = length(node), node.attrs
        k.w.chunks(items_of(group, s.lines), s.chunk, lambda i: sort_lines(k, i, s.lines, n, count, descending))
    else:
        k.w.chunks(math.prod(others), s.chunk, line)
    return [k.finish(s)]


TOP = Kind(_choose, _emit)
