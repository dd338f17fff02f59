"""Elements that are independent of each other: one to a thread, or a few that are neighbours, whose loads and stores are then one.

Elementwise ops, views, random bits, windows, and small products as a sum over k in every thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.backends.cuda.axes import Axes, chosen_axes
from ingot.backends.cuda.block_kernel import THREADS, BlockKernel, threads_for, verify_threads
from ingot.ir.facts import Contraction, Window
from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import delinear, linear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.cascade import run_of
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.nest.choose import unrolls
from ingot.ir.lower.nest.passes import Passes
from ingot.ir.lower.nest.point import point_of, with_small_loops
from ingot.ir.lower.nest.trial import Trial
from ingot.ir.lower.schedule import Schedule, ScheduleError
from ingot.ir.lower.small_loops import steps_at_a_point
from ingot.ir.machine import Machine
from ingot.ir.size import ceil_div, exactly
from ingot.ir.struct import value_type

__all__ = ["Points", "choose", "emit"]

LONG = 600  # instructions of a thread that has several elements, at most
WASTE = 8  # of so many threads at the end of a line one may have nothing to do, where that spares divisions


@value_type
class Points(Schedule):
    """Elements to threads.

    axes     the axes that are not of extent 1, outermost first, those that run as one together; neighbouring threads are neighbours
             along the last
    threads  of a block
    lines    no block crosses the end of the last axis, so that nothing is divided by its extent
    unroll   expand the group's window in place
    run      steps of a thread's sum that are a run, where it is a cascade; 0: all are one run
    each     neighbours along the last axis that are one thread's; where there are other axes they divide its extent
    """

    axes: Axes
    threads: int
    lines: bool = False
    unroll: bool = False
    run: int = 0
    each: int = 1

    def verify(self, group: Group) -> None:
        verify_threads(threads=self.threads)
        wide = sorted(a for run in self.axes for a in run)
        if wide != [a for a, d in enumerate(group.shape) if d != 1] or self.lines and not self.axes:
            raise ScheduleError(f"{self}: axes are not the group's ({group})")
        if self.unroll and not isinstance(group.nodes[0].op.lowering, Window):
            raise ScheduleError(f"{self}: nothing to unroll ({group})")
        if self.run < 0:
            raise ScheduleError(f"{self}: runs of less than nothing ({group})")
        last = math.prod(group.shape[a] for a in self.axes[-1]) if self.axes else 1
        if self.each not in (1, 2, 4, 8) or self.each > 1 and len(self.axes) != 1 and exactly(last, self.each) is None:
            raise ScheduleError(f"{self}: the last axis is no multiple of {self.each} ({group})")


def choose(group: Group, machine: Machine | None = None) -> Points:
    """The schedule of a group without reductions, for any machine."""
    axes, along = chosen_axes(group)
    if along is not None:
        axes = (*axes[:along], *axes[along + 1 :], axes[along])
    n = math.prod(group.shape)
    threads = threads_for(n)
    last = math.prod(group.shape[a] for a in axes[-1]) if axes else 1
    lines = len(axes) > 1 and (exactly(last, threads) is not None or assumed(last) >= WASTE * threads)
    each = _each(group, axes) if threads == THREADS else 1
    return Points(axes, threads, lines, unrolls(group), run_of(steps_at_a_point(group.nodes[0])), each)


def _each(group: Group, axes: Axes) -> int:
    """Neighbours for a thread: as many as 16 bytes hold of what is read and written in line, where code is short enough to be there
    several times."""
    if not axes or any(isinstance(n.op.lowering, (Window, Contraction)) for n in group.nodes):
        return 1
    trial = Trial(group, Passes(group), False)
    here = f"a{axes[-1][-1]}"
    if any(ix.coefficient(i, here) != 1 for i in trial.stores) or any(ix.coefficient(i, here) not in (0, 1) for i in trial.loads):
        return 1
    sizes = [v.type.dtype.itemsize for v in group.outputs]
    sizes += [v.type.dtype.itemsize for n in (*group.nodes, *group.inside()) for v in n.inputs if v in group.in_memory and v.type.rank]
    last = math.prod(group.shape[a] for a in axes[-1])
    each = min(8, 16 // max(sizes))
    while each > 1 and (len(axes) > 1 and exactly(last, each) is None or each * trial.instructions > LONG):
        each //= 2
    return each


def emit(group: Group, s: Points, check: Callable[[Node], int]) -> list[Written]:
    """The kernel; none where there are no elements."""
    extents = tuple(math.prod(group.shape[a] for a in run) for run in s.axes)
    n = math.prod(extents)
    if n == 0:
        return []
    k = BlockKernel(group, "points", check)
    w = k.w

    def point(where: tuple[Index, ...]) -> None:
        *outer, i = where or (ix.const(0),)
        for u in range(s.each):
            element((*outer, ix.add(ix.mul(i, s.each), ix.const(u))) if where else ())

    def element(where: tuple[Index, ...]) -> None:
        elements = k.elements()
        with_small_loops(group, elements, s.unroll, run=s.run)
        at = [ix.const(0)] * len(group.shape)
        for run, i in zip(s.axes, where):
            at[run[-1]] = i
        for v in group.outputs:
            idx = point_of(group, v, at)
            w.store(k.buffer(v, "w"), linear(idx, v.type.shape), elements.at(v, idx))

    def ragged(i: Index) -> None:
        """The elements of a thread that may be the last, with fewer than others."""
        first = ix.mul(i, s.each)
        left = w.index_value(ix.sub(ix.const(n), first))
        every = w.ge(left, s.each)
        with w.when(every):
            point((i,))
        with w.when(w.not_(every)), w.loop("serial", w.as_index(left), most=s.each - 1) as r:
            element((ix.add(first, r),))

    if s.each > 1 and exactly(extents[-1], s.each) is None:
        k.each(ceil_div(n, s.each), s.threads, ragged)
        return [k.finish(s, fixed=True)]
    if s.each > 1:
        extents = (*extents[:-1], extents[-1] // s.each)
    if s.lines:
        *outer, last = extents
        per = ceil_div(last, s.threads)
        with k.grid(math.prod(outer) * per, s.threads) as (g, t):
            i = ix.add(ix.mul(ix.mod(g, per, w.ranges), s.threads), t)
            with k.below(i, last, exactly(last, s.threads) is not None):
                point((*delinear(ix.div(g, per, w.ranges), tuple(outer), w.ranges), i))
    else:
        k.each(math.prod(extents), s.threads, lambda item: point(delinear(item, extents, w.ranges)))
    return [k.finish(s, fixed=s.each > 1)]
