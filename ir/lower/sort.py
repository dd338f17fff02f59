"""Sorting each line, stably, positions beside the values: many at once by a network, else short ones by merging, longer ones by radix."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.network import key_bits, sort_lines
from ingot.ir.lower.radix import Radix, radix_line, radix_parts
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.lower.target import Kind
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.machine import Machine
from ingot.ir.size import bounds, ceil_div
from ingot.ir.struct import replace, value_type
from ingot.ir.types import Dim

__all__ = [
    "Copy", "Sort", "SORT", "before", "by_loop", "items_of", "length", "levels", "other_dims", "put", "sort_line", "sorted_whole",
    "verify_lines",
]  # fmt: skip

MOST_LEVELS = 40  # of a line whose length has no bound
SHORT = 4  # elements for every bit of theirs, up to which a line is merged
DIGIT, MOST_DIGIT = 8, 16  # bits; longer digits are fewer, but their elements go to more places than the first cache has lines
PARTS, LONG = 16, 1 << 16  # parts of a line, where it is this long
NETWORK = 4096  # elements of a line up to which many are sorted at once, by a number of steps that grows faster than its length


@value_type
class Sort(Schedule):
    """`chunk` lines at a time, or as many times `lines`.

    lines   that are sorted at once, one to a lane; 0: each for itself
    digit   bits of a digit, where lines are sorted by radix; 0: they are merged
    parts   of the only line, that are sorted side by side; 0: a line is sorted as a whole
    width   lanes of the vectors that make keys and results of elements
    """

    chunk: int
    digit: int = 0
    parts: int = 0
    width: int = 1
    lines: int = 0

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        at_least_one(chunk=self.chunk)
        lanes(self.width)
        verify_lines(group, self.lines)
        if self.lines and self.digit:
            raise ScheduleError(f"{self}: lines are sorted at once or by radix")
        if not 0 <= self.digit <= MOST_DIGIT or self.parts < 0 or self.parts and not self.digit:
            raise ScheduleError(f"{self}: digits of at most {MOST_DIGIT} bits, and parts of what is sorted by them")
        if self.parts and any(d != 1 for d in other_dims(group.nodes[0])):
            raise ScheduleError(f"{self}: parts of several lines")


class Copy(NamedTuple):
    """A copy of a line: its values, where they stood, and where it begins in both."""

    values: str
    places: str
    at: Index = ZERO


def length(node: Node) -> Dim:
    """How many elements a line has."""
    shape = node.inputs[0].type.shape
    return shape[node.attrs[0]] if shape else 1


def levels(n: int) -> int:
    """How many times sorted runs of a line are merged in pairs."""
    return max(0, (n - 1).bit_length())


def verify_lines(group: Group, lines: int) -> None:
    """Raise ScheduleError unless so many lines of a group may be sorted at once."""
    if lines:
        lanes(lines)
        n = length(group.nodes[0])
        if not isinstance(n, int) or not 2 <= n <= NETWORK or not key_bits(group.nodes[0].inputs[0].type.dtype, n, _places(group)):
            raise ScheduleError(f"{lines} lines of {n} elements each are not sorted at once")


def _places(group: Group) -> bool:
    return group.nodes[0].outputs[1] in group.outputs


def _at_once(group: Group, machine: Machine) -> int:
    """How many lines are sorted at once: one to a lane, where there are as many; 0: none are."""
    node = group.nodes[0]
    n, dtype = length(node), node.inputs[0].type.dtype
    if not isinstance(n, int) or not 2 <= n <= NETWORK or dtype.bits < 16 or not (bits := key_bits(dtype, n, _places(group))):
        return 0
    side_by_side, last = machine.lanes(bits), node.attrs[0] == node.inputs[0].type.rank - 1
    many = math.prod(other_dims(node)) if last else node.inputs[0].type.shape[-1]
    return side_by_side if side_by_side > 1 and assumed(many) >= side_by_side else 0


def items_of(group: Group, lines: int) -> Dim:
    """How many times so many lines there are."""
    *outer, across = other_dims(group.nodes[0]) or (1,)
    if group.nodes[0].attrs[0] == group.nodes[0].inputs[0].type.rank - 1:
        return ceil_div(math.prod((*outer, across)), lines)
    return math.prod(outer) * ceil_div(across, lines)


def sorted_whole(group: Group, machine: Machine) -> Sort:
    """How lines are sorted one by one, or many at once."""
    node = group.nodes[0]
    n, bits = assumed(length(node)), node.inputs[0].type.dtype.bits
    lines = _at_once(group, machine)
    if lines:
        steps = levels(n) * (levels(n) + 1) // 2
        return Sort(max(1, machine.chunk_work // max(1, n * steps)), lines=lines)
    if n < SHORT * bits:
        return Sort(max(1, machine.chunk_elements // max(1, n * max(1, levels(n)))))
    return Sort(max(1, machine.chunk_elements // (n * (2 + -(-bits // DIGIT)))), DIGIT, 0, machine.lanes(max(32, bits)))


def _choose(group: Group, machine: Machine) -> Sort:
    node, s = group.nodes[0], sorted_whole(group, machine)
    only = all(d == 1 for d in other_dims(node))
    return replace(s, parts=PARTS) if s.digit and only and assumed(length(node)) >= LONG else s


def before(w: KernelWriter, dtype: DType, descending: bool, a: Scalar, b: Scalar) -> Scalar:
    """Whether b must come before a, which stands to its left; NaN is the largest value."""
    wide = dtypes.f32 if dtype in dtypes.Half else dtypes.u8 if dtype.kind == "b" else dtype
    a, b = w.cast(a, wide), w.cast(b, wide)
    less = w.lt(a, b) if descending else w.lt(b, a)
    if dtype.kind == "f":
        nan, other = (b, a) if descending else (a, b)
        less = w.or_(less, w.and_(w.ne(nan, nan), w.eq(other, other)))
    return less


def _merge(
    w: KernelWriter, dtype: DType, descending: bool, a: Copy, b: Copy, base: Index, half: Index, left_n: Scalar, right_n: Scalar
) -> None:
    """Merge two runs of a that begin at `base`, `half` apart, into b."""
    i64 = dtypes.i64
    left, right = w.acc(i64, 0), w.acc(i64, 0)
    with w.loop("serial", w.as_index(w.add(left_n, right_n))) as j:
        l, r = w.get_acc(left, i64), w.get_acc(right, i64)
        has_l, has_r = w.lt(l, left_n), w.lt(r, right_n)
        from_a = ix.add(base, a.at)
        at_l, at_r = ix.add(from_a, w.as_index(l)), ix.add(ix.add(from_a, half), w.as_index(r))
        vl = w.load(a.values, at_l, dtype, has_l, pinned=True)
        vr = w.load(a.values, at_r, dtype, has_r, pinned=True)
        take_r = w.and_(has_r, w.or_(w.not_(has_l), before(w, dtype, descending, vl, vr)))
        pl = w.load(a.places, at_l, i64, has_l, pinned=True)
        pr = w.load(a.places, at_r, i64, has_r, pinned=True)
        to_b = ix.add(ix.add(base, b.at), j)
        w.store(b.values, to_b, w.select(take_r, vr, vl))
        w.store(b.places, to_b, w.select(take_r, pr, pl))
        one, zero = w.const(1, i64), w.const(0, i64)
        w.set_acc(right, w.add(r, w.select(take_r, one, zero)))
        w.set_acc(left, w.add(l, w.select(take_r, zero, one)))


def _by_levels(w: KernelWriter, dtype: DType, descending: bool, copies: list[Copy], n: int) -> Copy:
    """The sorted copy of a line whose length is known: its levels one after the other, from one copy to the other and back."""
    for level in range(levels(n)):
        half = 1 << level
        with w.loop("serial", -(-n // (2 * half))) as pair:
            base = ix.mul(pair, 2 * half)
            left_n = w.min(w.index_value(ix.add(ix.const(n), ix.mul(base, -1))), w.const(half, dtypes.i64))
            rest = w.min(w.index_value(ix.add(ix.const(n - half), ix.mul(base, -1))), w.const(half, dtypes.i64))
            right_n = w.max(rest, w.const(0, dtypes.i64))
            _merge(w, dtype, descending, copies[level % 2], copies[1 - level % 2], base, ix.const(half), left_n, right_n)
    return copies[levels(n) % 2]


def by_loop(w: KernelWriter, dtype: DType, descending: bool, line: Copy, total: Scalar, most: int) -> Copy:
    """The sorted copy of `total` elements, at most `most`: a loop over levels, from one half of the scratch to the other, behind it."""
    i64 = dtypes.i64
    bits = [w.select(w.gt(total, 1 << b), w.const(1, i64), w.const(0, i64)) for b in range(levels(most))]
    count = reduce(w.add, bits, w.const(0, i64))
    half, side = w.acc(i64, 1), w.acc(i64, 0)

    def copy(at: Scalar) -> Copy:
        return Copy(line.values, line.places, w.as_index(at))

    with w.loop("serial", w.as_index(count)):
        h, here = w.get_acc(half, i64), w.get_acc(side, i64)
        there, both = w.sub(total, here), w.add(h, h)
        with w.loop("serial", w.as_index(w.div(w.sub(w.add(total, both), 1), both))) as pair:
            base = w.mul(w.index_value(pair), both)
            left_n = w.min(w.sub(total, base), h)
            right_n = w.max(w.min(w.sub(w.sub(total, h), base), h), 0)
            _merge(w, dtype, descending, copy(here), copy(there), w.as_index(base), w.as_index(h), left_n, right_n)
        w.set_acc(half, both)
        w.set_acc(side, there)
    return copy(w.get_acc(side, i64))


def sort_line(k: GroupKernel, at: Point, count: Dim, digit: int, width: int) -> None:
    """Sort the line at a point of all other axes; the results are its first `count` elements, and where they stood."""
    node = k.group.nodes[0]
    (x,) = node.inputs
    axis, descending = node.attrs[:2]

    def point(j: Index) -> Point:
        return at[:axis] + (j,) + at[axis:] if x.type.shape else ()

    if digit:
        radix_line(k, Radix(x.type.dtype, descending, digit), length(node), count, point, width)
    else:
        _merged_line(k, count, point)


def _merged_line(k: GroupKernel, count: Dim, point: Callable[[Index], Point]) -> None:
    w, elements, node = k.w, k.elements(), k.group.nodes[0]
    (x,) = node.inputs
    dtype, descending, i64, n = x.type.dtype, node.attrs[1], dtypes.i64, length(node)
    known = isinstance(n, int)
    size, copies = (max(1, n), 2) if known else (2 * n, 1)
    values = [w.scratch(dtype, size, "worker") for _ in range(copies)]
    places = [w.scratch(i64, size, "worker") for _ in range(copies)]
    lines = [Copy(v, p) for v, p in zip(values, places)]
    with w.loop("serial", n) as j:
        w.store(lines[0].values, j, elements.at(x, point(j)))
        w.store(lines[0].places, j, w.index_value(j))
    if known:
        last = _by_levels(w, dtype, descending, lines, n)
    else:
        last = by_loop(w, dtype, descending, lines[0], w.index_value(ix.const(n)), int(min(bounds(n)[1], 1 << MOST_LEVELS)))
    put(k, last, point, count)


def put(k: GroupKernel, sorted_: Copy, point: Callable[[Index], Point], count: Dim) -> None:
    """Store the first elements of a sorted copy in the results."""
    w, node = k.w, k.group.nodes[0]
    with w.loop("serial", count) as j:
        for source, out in zip((sorted_.values, sorted_.places), node.outputs):
            offset = linear(point(j), out.type.shape) if out.type.shape else ZERO
            if out in k.group.outputs:
                w.store(k.buffer(out, "w"), offset, w.load(source, ix.add(sorted_.at, j), out.type.dtype, pinned=True))


def other_dims(node: Node) -> tuple[Dim, ...]:
    """The dims beside the one that is sorted."""
    return tuple(d for a, d in enumerate(node.inputs[0].type.shape) if a != node.attrs[0])


def _emit(group: Group, s: Sort, check: Callable[[Node], int]) -> list[Written]:
    node = group.nodes[0]
    others, n = other_dims(node), length(node)
    k = GroupKernel(group, "sort", check)
    if s.parts:
        axis, descending = node.attrs
        how, at = Radix(node.inputs[0].type.dtype, descending, s.digit), (ZERO,) * len(others)
        radix_parts(k, how, n, lambda j: (*at[:axis], j, *at[axis:]), s.parts, s.width)
    elif s.lines:
        assert isinstance(n, int)
        k.w.chunks(items_of(group, s.lines), s.chunk, lambda i: sort_lines(k, i, s.lines, n, n, node.attrs[1]))
    else:
        k.w.chunks(math.prod(others), s.chunk, lambda i: sort_line(k, delinear(i, others, k.w.ranges), n, s.digit, s.width))
    return [k.finish(s)]


SORT = Kind(_choose, _emit)
