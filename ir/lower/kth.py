"""Elements by their rank in each line, without sorting it: digits of keys are counted, the highest first, and of each line those elements
kept that share the digit in which the rank falls. In the end all that are left are equal, in the order in which they stood.
"""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir import dtypes
from ingot.ir.graph import Graph, Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.radix import Radix
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.lower.target import Kind
from ingot.ir.lower.writer import Scalar
from ingot.ir.machine import Machine
from ingot.ir.size import bounds, ceil_div
from ingot.ir.struct import value_type

__all__ = ["KTH", "Kth", "is_kth"]

i64 = dtypes.i64
BLOCK = 1024  # elements whose keys are made together, by vectors
LONG = 1 << 14  # elements of a line from which on digits are long: there are fewer of them, and more values of each
DIGITS = 8, 11  # bits of them


def is_kth(graph: Graph) -> bool:
    """Whether a graph is of the ranks in lines: x (b, n), ranks from 0 on (b) -> elements, places (b)."""
    ins, outs = graph.in_types, graph.out_types
    if len(ins) != 2 or len(outs) != 2 or ins[0].rank != 2 or ins[0].dtype.kind not in "fiu":
        return False
    lines = ins[0].shape[:1]
    return [(t.dtype, t.shape) for t in (*ins[1:], *outs)] == [(i64, lines), (ins[0].dtype, lines), (i64, lines)]


def _takes(graph: Graph, machine: Machine) -> bool:
    return is_kth(graph) and 0 not in graph.in_types[0].shape


@value_type
class Kth(Schedule):
    """`chunk` lines at a time, by digits of `digit` bits; keys are made in blocks of `block` elements by vectors of `width`."""

    chunk: int
    digit: int
    block: int
    width: int

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        at_least_one(chunk=self.chunk, digit=self.digit, block=self.block)
        lanes(self.width)
        if self.digit > 16:
            raise ScheduleError(f"{self}: digits of at most 16 bits")


def _choose(group: Group, machine: Machine) -> Kth:
    t = group.nodes[0].inputs[0].type
    n = assumed(t.shape[1])
    return Kth(max(1, machine.chunk_elements // 8 // n), DIGITS[n >= LONG], BLOCK, machine.lanes(max(32, t.dtype.bits)))


class _Line:
    """Looks for the element of a rank in one line; scratch for the keys that are left, and their places."""

    def __init__(self, k: GroupKernel, s: Kth, at: Index):
        self.k, self.w, self.s, self.at = k, k.w, s, at
        x = k.group.nodes[0].inputs[0]
        self.x, self.dtype, self.n = k.buffer(x, "r"), x.type.dtype, x.type.shape[1]
        self.how = Radix(self.dtype, False, min(s.digit, self.dtype.bits))
        self.place = dtypes.u32 if bounds(self.n)[1] <= 1 << 32 else i64
        w = self.w
        self.keys, self.places = w.scratch(self.how.keys, self.n + 1, "worker"), w.scratch(self.place, self.n + 1, "worker")
        self.some = w.scratch(self.how.keys, s.block, "worker")
        self.counts = w.scratch(dtypes.i32 if self.place is dtypes.u32 else i64, self.how.bins, "worker")
        self.rank, self.left = w.acc(i64, 0), w.acc(i64, 0)  # among those that are left; how many these are

    def find(self, rank: Scalar) -> Scalar:
        """The place of the element that has a rank."""
        w = self.w
        w.set_acc(self.rank, rank)
        for d in reversed(range(self.how.digits)):
            each = self._each if d == self.how.digits - 1 else self._each_left
            value = self._digit(each, d)
            self._keep(each, d, value)
        return w.cast(w.load(self.places, w.as_index(w.get_acc(self.rank, i64)), self.place, pinned=True), i64)

    def _each(self, body: Callable[[Scalar, Callable[[], Scalar]], None]) -> None:
        """body(key, place()) for all elements, whose keys are made block by block."""
        w, s = self.w, self.s
        with w.loop("serial", ceil_div(self.n, s.block)) as b:
            first, count = ix.mul(b, s.block), w.rest(b, s.block, self.n)
            with w.loop("vector", count, s.width) as v:
                x = w.load(self.x, ix.add(self.at, ix.add(first, v)), self.dtype)
                w.store(self.some, v, self.how.key(w, x))
            with w.loop("serial", count) as j:
                key = w.load(self.some, j, self.how.keys, pinned=True)
                body(key, lambda: w.cast(w.index_value(ix.add(first, j)), self.place))

    def _each_left(self, body: Callable[[Scalar, Callable[[], Scalar]], None]) -> None:
        """The same for those that are left."""
        w = self.w
        with w.loop("serial", w.as_index(w.get_acc(self.left, i64))) as j:
            body(w.load(self.keys, j, self.how.keys, pinned=True), lambda: w.load(self.places, j, self.place, pinned=True))

    def _digit(self, each: Callable[..., None], d: int) -> Scalar:
        """The digit in which the rank falls; the rank becomes that among those which share it."""
        w, count = self.w, dtypes.i32 if self.place is dtypes.u32 else i64
        with w.loop("vector", self.how.bins, 8, self.how.bins % 8 == 0) as v:
            w.store(self.counts, v, w.const(0, count))

        def add(key: Scalar, place: Callable[[], Scalar]) -> None:
            at = self.how.of(w, key, d)
            w.store(self.counts, at, w.add(w.load(self.counts, at, count, pinned=True), 1))

        each(add)
        rank = w.get_acc(self.rank, i64)
        total, before, value = w.acc(i64, 0), w.acc(i64, 0), w.acc(i64, 0)
        with w.loop("serial", self.how.bins) as b:
            now = w.add(w.get_acc(total, i64), w.cast(w.load(self.counts, b, count, pinned=True), i64))
            below = w.le(now, rank)
            w.set_acc(total, now)
            w.set_acc(before, w.select(below, now, w.get_acc(before, i64)))
            w.set_acc(value, w.add(w.get_acc(value, i64), w.cast(below, i64)))
        w.set_acc(self.rank, w.sub(rank, w.get_acc(before, i64)))
        return w.get_acc(value, i64)

    def _keep(self, each: Callable[..., None], d: int, value: Scalar) -> None:
        """Those with this digit are left: each is put behind the others, and stays there if it has it."""
        w, kept = self.w, self.w.acc(i64, 0)

        def keep(key: Scalar, place: Callable[[], Scalar]) -> None:
            count = w.get_acc(kept, i64)
            to = w.as_index(count)
            w.store(self.places, to, place())
            w.store(self.keys, to, key)
            w.set_acc(kept, w.add(count, w.cast(w.eq(w.index_value(self.how.of(w, key, d)), value), i64)))

        each(keep)
        w.set_acc(self.left, w.get_acc(kept, i64))


def _emit(group: Group, s: Kth, check: Callable[[Node], int]) -> list[Written]:
    node = group.nodes[0]
    k = GroupKernel(group, "kth", check)
    w = k.w
    x, ranks = node.inputs
    b, n = x.type.shape
    values, places = node.outputs

    def line(i: Index) -> None:
        at = ix.mul(i, n)
        # a rank that does not exist is that of the last element: nothing is read beyond the line
        rank = w.max(w.min(w.load(k.buffer(ranks, "r"), i, i64), w.index_value(ix.const(n - 1))), 0)
        place = _Line(k, s, at).find(rank)
        if values in group.outputs:
            found = w.load(k.buffer(x, "r"), ix.add(at, w.as_index(place)), x.type.dtype, pinned=True)
            w.store(k.buffer(values, "w"), i, found)
        if places in group.outputs:
            w.store(k.buffer(places, "w"), i, place)

    w.chunks(b, s.chunk, line)
    return [k.finish(s)]


KTH = Kind(_choose, _emit, _takes)
