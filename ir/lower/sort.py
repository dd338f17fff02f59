"""Sorting: a stable merge sort of each line, positions beside the values."""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, delinear, linear
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.schedule import Schedule, at_least_one
from ingot.ir.lower.target import Kind
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.machine import Machine
from ingot.ir.struct import value_type

__all__ = ["Sort", "SORT", "before", "length", "levels"]


@value_type
class Sort(Schedule):
    """`chunk` lines at a time."""

    chunk: int

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        at_least_one(chunk=self.chunk)


def length(node: Node) -> int:
    """How many elements a line has."""
    shape = node.inputs[0].type.shape
    return shape[node.attrs[0]] if shape else 1


def levels(n: int) -> int:
    """How many times sorted runs of a line are merged in pairs."""
    return max(0, (n - 1).bit_length())


def _choose(group: Group, machine: Machine) -> Sort:
    n = length(group.nodes[0])
    return Sort(max(1, machine.chunk_elements // max(1, n * max(1, levels(n)))))


def before(w: KernelWriter, dtype: DType, descending: bool, a: Scalar, b: Scalar) -> Scalar:
    """Whether b must come before a, which stands to its left; NaN is the largest value."""
    wide = dtypes.f32 if dtype in dtypes.Half else dtypes.u8 if dtype.kind == "b" else dtype
    a, b = w.cast(a, wide), w.cast(b, wide)
    less = w.lt(a, b) if descending else w.lt(b, a)
    if dtype.kind == "f":
        nan, other = (b, a) if descending else (a, b)
        less = w.or_(less, w.and_(w.ne(nan, nan), w.eq(other, other)))
    return less


def _emit(group: Group, s: Sort, check: Callable[[Node], int]) -> list[Written]:
    """Bottom-up: from one copy of the line to the other and back."""
    node = group.nodes[0]
    (x,) = node.inputs
    axis, descending = node.attrs
    shape, dtype, i64 = x.type.shape, x.type.dtype, dtypes.i64
    n = length(node)
    others = tuple(d for a, d in enumerate(shape) if a != axis)
    k = GroupKernel(group, "sort", check)
    w, elements = k.w, k.elements()
    outs = [k.buffer(v, "w") for v in node.outputs]

    def merge(a: tuple[str, str], b: tuple[str, str], half: int) -> None:
        """Merge pairs of runs of `half` elements of a into b; a and b: values and their places."""
        with w.loop("serial", -(-n // (2 * half))) as pair:
            base = ix.mul(pair, 2 * half)
            left_n = w.min(w.index_value(ix.add(ix.const(n), ix.mul(base, -1))), w.const(half, i64))
            right_n = w.max(w.min(w.index_value(ix.add(ix.const(n - half), ix.mul(base, -1))), w.const(half, i64)), w.const(0, i64))
            left, right = w.acc(i64, 0), w.acc(i64, 0)
            with w.loop("serial", w.as_index(w.add(left_n, right_n))) as j:
                l, r = w.get_acc(left, i64), w.get_acc(right, i64)
                has_l, has_r = w.lt(l, left_n), w.lt(r, right_n)
                at_l, at_r = ix.add(base, w.as_index(l)), ix.add(ix.add(base, ix.const(half)), w.as_index(r))
                vl = w.load(a[0], at_l, dtype, has_l, pinned=True)
                vr = w.load(a[0], at_r, dtype, has_r, pinned=True)
                take_r = w.and_(has_r, w.or_(w.not_(has_l), before(w, dtype, descending, vl, vr)))
                pl = w.load(a[1], at_l, i64, has_l, pinned=True)
                pr = w.load(a[1], at_r, i64, has_r, pinned=True)
                w.store(b[0], ix.add(base, j), w.select(take_r, vr, vl))
                w.store(b[1], ix.add(base, j), w.select(take_r, pr, pl))
                one, zero = w.const(1, i64), w.const(0, i64)
                w.set_acc(right, w.add(r, w.select(take_r, one, zero)))
                w.set_acc(left, w.add(l, w.select(take_r, zero, one)))

    def line(i: Index) -> None:
        at = delinear(i, others, w.ranges)
        values = [w.scratch(dtype, max(1, n), "worker") for _ in range(2)]
        places = [w.scratch(i64, max(1, n), "worker") for _ in range(2)]
        copies = list(zip(values, places))
        with w.loop("serial", n) as j:
            w.store(values[0], j, elements.at(x, at[:axis] + (j,) + at[axis:] if shape else ()))
            w.store(places[0], j, w.index_value(j))
        for level in range(levels(n)):
            merge(copies[level % 2], copies[1 - level % 2], 1 << level)
        last = levels(n) % 2
        with w.loop("serial", n) as j:
            offset = linear(at[:axis] + (j,) + at[axis:], shape) if shape else ZERO
            w.store(outs[0], offset, w.load(values[last], j, dtype, pinned=True))
            w.store(outs[1], offset, w.load(places[last], j, i64, pinned=True))

    w.chunks(math.prod(others), s.chunk, line)
    return [k.finish(s)]


SORT = Kind(_choose, _emit)
