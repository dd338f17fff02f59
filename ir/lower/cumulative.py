"""Running folds along an axis: lines are independent."""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.ir.facts import OwnKernels
from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import Point, delinear, linear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.elements import Elements
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.lower.target import Kind
from ingot.ir.machine import Machine
from ingot.ir.ops.scalars import convert
from ingot.ir.struct import value_type

__all__ = ["Cumulative", "CUMULATIVE", "running_fold"]


@value_type
class Cumulative(Schedule):
    """`chunk` lines at a time. With a `width` the lines side by side along the last axis, as many as there are, count as one."""

    chunk: int
    width: int = 1

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        at_least_one(chunk=self.chunk)
        lanes(self.width)
        if self.width > 1 and group.nodes[0].attrs[0] == group.nodes[0].inputs[0].type.rank - 1:
            raise ScheduleError(f"{self}: a fold along the last axis has no lines side by side")


def _choose(group: Group, machine: Machine) -> Cumulative:
    shape, axis = group.nodes[0].inputs[0].type.shape, group.nodes[0].attrs[0]
    if axis == len(shape) - 1:
        return Cumulative(max(1, machine.chunk_elements // max(1, assumed(shape[axis]))))
    return Cumulative(max(1, machine.chunk_elements // max(1, assumed(shape[axis] * shape[-1]))), machine.lanes(32))


def running_fold(k: GroupKernel, elements: Elements, at: Point) -> None:
    """Fold the line at a point of all other axes. The outputs are the accumulators after each step."""
    w, node = k.w, k.group.nodes[0]
    kind = node.op.lowering
    assert isinstance(kind, OwnKernels) and kind.fold is not None
    fold = kind.fold
    (x,) = node.inputs
    shape, axis = x.type.shape, node.attrs[0]
    reverse = len(node.attrs) > 1 and node.attrs[1]
    types = fold.accumulators(x.type.dtype)
    outs = [k.buffer(v, "w") for v in node.outputs]
    accs = [w.acc(d, start) for d, start in zip(types, fold.initial(types[0]))]
    with w.loop("serial", shape[axis]) as j:
        step = ix.add(ix.const(shape[axis] - 1), ix.mul(j, -1)) if reverse else j
        point = at[:axis] + (step,) + at[axis:]
        v = w.cast(elements.at(x, point), types[0])
        old = tuple(w.get_acc(a, d) for a, d in zip(accs, types))
        new = fold.fold_in(w, old, (v, w.index_value(step)) if fold.positions else (v,))
        for a, result, out, made in zip(accs, new, outs, node.outputs):
            w.set_acc(a, result)
            w.store(out, linear(point, shape), convert(w, result, made.type.dtype))


def _emit(group: Group, s: Cumulative, check: Callable[[Node], int]) -> list[Written]:
    node = group.nodes[0]
    shape, axis = node.inputs[0].type.shape, node.attrs[0]
    k = GroupKernel(group, "cumulative", check)
    w, elements = k.w, k.elements()
    wide = s.width > 1
    others = tuple(d for a, d in enumerate(shape) if a != axis and not (wide and a == len(shape) - 1))

    def lines(i: Index) -> None:
        if not wide:
            running_fold(k, elements, delinear(i, others, w.ranges))
            return
        with w.loop("vector", shape[-1], s.width) as v:
            running_fold(k, elements, (*delinear(i, others, w.ranges), v))

    w.chunks(math.prod(others), s.chunk, lines)
    return [k.finish(s)]


CUMULATIVE = Kind(_choose, _emit)
