"""Running folds by blocks: a thread folds a few neighbours, the threads of a block find in steps of doubling reach what stands before
their own, and then fold their elements once more from there, storing every result.

A line longer than a block's piece takes three kernels: the totals of all pieces, what stands before each of them (a line to a thread),
and the pieces. Lines side by side in memory, of which there are many, have a thread each (lines.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.backends.cuda.block_kernel import THREADS, WARP, BlockKernel, power_of_two, threads_for, verify_threads
from ingot.backends.cuda.lines import LINE_BY_LINE, LinePerThread
from ingot.ir.facts import OwnKernels
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import Point, delinear, linear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.schedule import Schedule, ScheduleError
from ingot.ir.lower.target import Kind
from ingot.ir.lower.writer import Scalar
from ingot.ir.machine import Machine
from ingot.ir.ops.scalars import convert
from ingot.ir.size import at_most, ceil_div, exactly
from ingot.ir.struct import value_type
from ingot.ir.types import tensor_type

__all__ = ["CUMULATIVE", "Scan"]

EACH = 4  # elements of a thread
SHORT = 64  # a line of fewer elements is one thread's
MANY = 64 * THREADS  # lines side by side, that are one thread's each

Accs = tuple[Scalar, ...]


@value_type
class Scan(Schedule):
    """Pieces of lines: `threads` of a block, with `each` neighbours to a thread."""

    threads: int
    each: int

    def verify(self, group: Group) -> None:
        verify_threads(threads=self.threads)
        if not 1 <= self.each <= 16:
            raise ScheduleError(f"{self}: {self.each} elements for a thread ({group})")


def _choose(group: Group, machine: Machine) -> Scan | LinePerThread:
    shape, axis = group.nodes[0].inputs[0].type.shape, group.nodes[0].attrs[0]
    if not shape or 0 in shape or assumed(shape[axis]) < SHORT:
        return LINE_BY_LINE.choose(group, machine)  # type: ignore[no-any-return]
    inside = math.prod(map(assumed, shape[axis + 1 :]))
    if inside >= WARP and math.prod(map(assumed, shape)) // assumed(shape[axis]) >= MANY:
        return LINE_BY_LINE.choose(group, machine)  # type: ignore[no-any-return]
    return Scan(max(WARP, min(THREADS, power_of_two(-(-assumed(shape[axis]) // EACH)))), EACH)


def _emit(group: Group, s: Scan | LinePerThread, check: Callable[[Node], int]) -> list[Written]:
    if isinstance(s, LinePerThread):
        return LINE_BY_LINE.emit(group, s, check)
    e = _Emission(group, s, check)
    if 0 in (e.n, e.lines):
        return []
    if at_most(e.n, e.piece):
        return [e.pieces(None)]
    totals, starts = e.between(), e.between()
    return [e.totals(totals), e.starts(totals, starts), e.pieces(starts)]


class _Emission:
    def __init__(self, group: Group, s: Scan, check: Callable[[Node], int]):
        self.group, self.s, self.check = group, s, check
        self.node = group.nodes[0]
        kind = self.node.op.lowering
        assert isinstance(kind, OwnKernels) and kind.fold is not None
        self.fold = kind.fold
        (self.x,) = self.node.inputs
        self.shape, self.axis = self.x.type.shape, self.node.attrs[0]
        self.reverse = len(self.node.attrs) > 1 and self.node.attrs[1]
        self.types = self.fold.accumulators(self.x.type.dtype)
        self.others = tuple(d for a, d in enumerate(self.shape) if a != self.axis)
        self.n, self.lines = self.shape[self.axis], math.prod(self.others)
        self.piece = s.threads * s.each
        self.count = ceil_div(self.n, self.piece)  # of the pieces of a line

    def between(self) -> tuple[Value, ...]:
        """Accumulators of all pieces, in memory."""
        return tuple(Value(tensor_type(d, (self.lines * self.count,))) for d in self.types)

    def neutral(self, k: BlockKernel, initial: bool = False) -> Accs:
        """Accumulators that leave others unchanged, or those that a line begins with."""
        values = (self.fold.initial if initial else self.fold.neutral)(self.types[0])
        return tuple(k.w.const(v, d) for v, d in zip(values, self.types))

    # -- pieces ------------------------------------------------------------------------------------------------------

    def elements(self, k: BlockKernel, g: Index, t: Index) -> list[tuple[Point, Index, Scalar | None]]:
        """The points of a thread's elements, where they stand on their line, and whether they are there (None: all are)."""
        w = k.w
        line, part = ix.div(g, self.count, w.ranges), ix.mod(g, self.count, w.ranges)
        at, out = delinear(line, self.others, w.ranges), []
        for u in range(self.s.each):
            j = ix.add(ix.add(ix.mul(part, self.piece), ix.mul(t, self.s.each)), ix.const(u))
            inside = None
            if exactly(self.n, self.piece) is None:
                j, inside = k.clamped(j, self.n, False)
            step = ix.sub(ix.const(self.n - 1), j) if self.reverse else j
            out.append(((*at[: self.axis], step, *at[self.axis :]), step, inside))
        return out

    def folded(self, k: BlockKernel, accs: Accs, element: tuple[Point, Index, Scalar | None]) -> Accs:
        """The accumulators with one more element."""
        w, (point, step, inside) = k.w, element
        v = w.cast(k.elements().at(self.x, point), self.types[0])
        new = self.fold.fold_in(w, accs, (v, w.index_value(step)) if self.fold.positions else (v,))
        return new if inside is None else tuple(w.select(inside, a, b) for a, b in zip(new, accs))

    def before(self, k: BlockKernel, t: Index, mine: Accs) -> tuple[list[str], int]:
        """Shared memory in which each thread finds the fold of all up to itself, and the half of it that these are in."""
        w, threads = k.w, self.s.threads
        names = [k.shared(d, 2 * threads) for d in self.types]

        def put(half: int, values: Accs) -> None:
            for name, x in zip(names, values):
                w.store(name, ix.add(t, ix.const(half * threads)), x)
            k.barrier()

        put(0, mine)
        half, reach = 0, 1
        while reach < threads:
            own = self.at(k, names, half, t)
            far = w.ge(w.index_value(t), reach)
            other = self.at(k, names, half, ix.sub(t, ix.const(reach)), far)
            both = self.fold.across.combine(w, other, own)
            put(1 - half, tuple(w.select(far, a, b) for a, b in zip(both, own)))
            half, reach = 1 - half, 2 * reach
        return names, half

    def at(self, k: BlockKernel, names: list[str], half: int, t: Index, mask: Scalar | None = None) -> Accs:
        """What a thread has put there."""
        place = ix.add(t, ix.const(half * self.s.threads))
        return tuple(k.w.load(name, place, d, mask, pinned=True) for name, d in zip(names, self.types))

    def own(self, k: BlockKernel, g: Index, t: Index) -> Accs:
        """A thread's elements, folded."""
        accs = self.neutral(k)
        for element in self.elements(k, g, t):
            accs = self.folded(k, accs, element)
        return accs

    def totals(self, to: tuple[Value, ...]) -> Written:
        """The fold of every piece."""
        k = BlockKernel(self.group, "scan_totals", self.check)
        w = k.w
        with k.grid(self.lines * self.count, self.s.threads) as (g, t):
            names, half = self.before(k, t, self.own(k, g, t))
            last = w.eq(w.index_value(t), self.s.threads - 1)
            for v, x in zip(to, self.at(k, names, half, t)):
                w.store(k.buffer(v, "w"), g, x, last)
        return k.finish(self.s, twice=True)

    def starts(self, totals: tuple[Value, ...], to: tuple[Value, ...]) -> Written:
        """What stands before every piece."""
        k = BlockKernel(self.group, "scan_starts", self.check)
        w = k.w

        def line(i: Index) -> None:
            accs = [w.acc(d, v) for d, v in zip(self.types, self.fold.initial(self.types[0]))]
            with w.loop("serial", self.count) as c:
                slot = ix.add(ix.mul(i, self.count), c)
                old = tuple(w.get_acc(a, d) for a, d in zip(accs, self.types))
                for v, x in zip(to, old):
                    w.store(k.buffer(v, "w"), slot, x)
                more = tuple(w.load(k.buffer(v, "r"), slot, d) for v, d in zip(totals, self.types))
                for a, x in zip(accs, self.fold.across.combine(w, old, more)):
                    w.set_acc(a, x)

        k.each(self.lines, threads_for(self.lines), line)
        return k.finish(self.s)

    def pieces(self, starts: tuple[Value, ...] | None) -> Written:
        """The results of every piece; starts: what stands before it, None where a line begins with it."""
        k = BlockKernel(self.group, "scan", self.check)
        w = k.w
        with k.grid(self.lines * self.count, self.s.threads) as (g, t):
            names, half = self.before(k, t, self.own(k, g, t))
            some = w.gt(w.index_value(t), 0)
            start = self.neutral(k, True)
            if starts is not None:
                start = tuple(w.load(k.buffer(v, "r"), g, d) for v, d in zip(starts, self.types))
            others = self.fold.across.combine(w, start, self.at(k, names, half, ix.sub(t, ix.const(1)), some))
            accs = tuple(w.select(some, a, b) for a, b in zip(others, start))
            for element in self.elements(k, g, t):
                accs = self.folded(k, accs, element)
                for v, x in zip(self.node.outputs, accs):
                    w.store(k.buffer(v, "w"), linear(element[0], self.shape), convert(w, x, v.type.dtype), element[2])
        return k.finish(self.s, twice=True, fixed=exactly(self.n, self.piece) is not None)


CUMULATIVE = Kind(_choose, _emit)
