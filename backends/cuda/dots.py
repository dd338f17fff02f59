"""Products of so few rows or columns that there is no tile: a team of threads shares the sum of each element.

Where memory lies along k, neighbouring threads have neighbouring steps of it; else they have neighbouring elements, and a team's threads
lie a line of those apart. The team adds up what its threads have in a tree, in shared memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.backends.cuda.block_kernel import THREADS, WARP, BlockKernel, power_of_two
from ingot.backends.cuda.products import along_k
from ingot.backends.cuda.rows import Team
from ingot.ir.facts import Contraction
from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.folds import FMA, SUM
from ingot.ir.loop.points import Point, delinear, linear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.cascade import Cascade, Steps, rounds, run_of
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.nest.point import point_of
from ingot.ir.lower.schedule import Schedule, ScheduleError
from ingot.ir.lower.writer import Scalar
from ingot.ir.machine import Machine
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import ceil_div, exactly
from ingot.ir.struct import value_type
from ingot.ir.types import Dim

__all__ = ["Dots", "choose", "emit"]

LEAST = 64  # steps of k from which on they are shared
EACH = 4  # steps of k that a thread has on their way at a time


@value_type
class Dots(Schedule):
    """Elements of a product, each of a team of threads; with `team.columns` neighbouring threads have neighbouring elements.

    each  steps of k in a row; neighbours in memory where threads are
    run   steps of a thread's sum that are a run, where it is a cascade; 0: all are one run
    """

    team: Team
    each: int = 1
    run: int = 0

    def verify(self, group: Group) -> None:
        self.team.verify(group)
        if not 1 <= self.each <= 16 or self.run < 0 or not isinstance(group.nodes[0].op.lowering, Contraction):
            raise ScheduleError(f"{self}: no sums of such steps ({group})")


def choose(group: Group, machine: Machine) -> Dots | None:
    """The schedule of a group that begins with a small product whose sums are long; None for any other."""
    node = group.nodes[0]
    if not isinstance(node.op.lowering, Contraction) or any(isinstance(n.op.lowering, Contraction) for n in group.nodes[1:]):
        return None
    f = form_of(node)
    steps, elements = math.prod(f.k), math.prod(group.shape)
    if 0 in (steps, elements) or assumed(steps) < LEAST:
        return None
    left, right = along_k(group)
    columns = not (left if assumed(f.left.type.numel) > assumed(f.right.type.numel) else right)  # most is read of the larger operand
    if columns and assumed(elements) >= machine.workers * THREADS:
        return None
    threads = min(WARP if not columns else THREADS // WARP, power_of_two(-(-assumed(steps) // EACH)))
    rows = min(THREADS // threads, power_of_two(assumed(elements)))
    run = run_of(ceil_div(steps, threads)) // EACH if rounds(FMA, node) else 0
    return Dots(Team(threads, rows, columns), EACH, run)


def emit(group: Group, s: Dots, check: Callable[[Node], int]) -> list[Written]:
    """The kernel."""
    return [_Emission(group, s, check).written()]


class _Emission:
    def __init__(self, group: Group, s: Dots, check: Callable[[Node], int]):
        self.group, self.s = group, s
        self.k = BlockKernel(group, "dots", check)
        self.w = self.k.w
        self.node = group.nodes[0]
        self.form = form_of(self.node)
        (self.dtype,) = SUM.accumulators(self.node.outputs[0].type.dtype)
        self.steps, self.elements = math.prod(self.form.k), math.prod(group.shape)

    def written(self) -> Written:
        """The kernel: each team has an element, or (where they end) computes the last one once more and stores nothing."""
        s, w, k, team = self.s, self.w, self.k, self.s.team
        shared = k.shared(self.dtype, team.threads * team.rows) if team.threads > 1 else ""
        with k.grid(ceil_div(self.elements, team.rows), team.threads * team.rows) as (g, t):
            lane, place = (ix.div(t, team.rows, w.ranges), ix.mod(t, team.rows, w.ranges)) if team.columns else (
                ix.mod(t, team.threads, w.ranges), ix.div(t, team.threads, w.ranges)
            )  # fmt: skip
            item = ix.add(ix.mul(g, team.rows), place)
            item, valid = k.clamped(item, self.elements, exactly(self.elements, team.rows) is not None)
            at = delinear(item, self.group.shape, w.ranges)
            total = self.together(shared, t, lane, self.sum(at, lane))
            first = w.eq(w.index_value(lane), 0)
            with w.when(first if valid is None else w.and_(first, valid)):
                self.finish(at, total)
        return k.finish(s, twice=True, fixed=not team.columns)

    def sum(self, at: Point, lane: Index) -> Scalar:
        """What a thread adds up of an element's sum."""
        w, f, s, threads = self.w, self.form, self.s, self.s.team.threads
        out = self.node.outputs[0]
        q, m, n = f.loops(point_of(self.group, out, at), w.ranges)
        elements = self.k.elements()

        def product(acc: str, i: Index) -> None:
            k = delinear(i, f.k, w.ranges)
            a, mask = f.left_or_nothing(elements, f.at_left(q, m, k))
            a, b = w.cast(a, self.dtype), w.cast(f.b(elements, q, k, n), self.dtype)
            if mask is not None:
                assert f.zeros is not None
                a = w.select(mask, a, w.const(0, self.dtype))
                b = b if f.zeros.counted else w.select(mask, b, w.const(0, self.dtype))
            fold = FMA if self.dtype.kind == "f" else SUM
            w.reduce((acc,), fold.name, (a, b) if fold is FMA else (w.mul(a, b),))

        def step(accs: tuple[str], where: Point) -> None:
            first = ix.mul(ix.add(ix.mul(where[0], threads), lane), s.each)
            if s.team.columns:
                first = ix.add(ix.mul(where[0], threads * s.each), lane)
            for u in range(s.each):
                product(accs[0], ix.add(first, ix.const(u * (threads if s.team.columns else 1))))

        def fresh() -> tuple[str]:
            return (w.acc(self.dtype, 0),)

        def add(accs: tuple[str], part: tuple[str]) -> None:
            w.reduce(accs, "sum", (w.get_acc(part[0], self.dtype),))

        accs, whole = fresh(), threads * s.each
        turns: Dim = self.steps // whole
        Cascade(w, s.run, fresh, add).over([Steps(turns)], accs, step)
        rest = self.steps - turns * whole
        if rest != 0:
            mine = ix.div(ix.sub(ix.const(rest + threads - 1), lane), threads, w.ranges)
            with w.loop("serial", mine, most=s.each) as i:
                product(accs[0], ix.add(ix.add(ix.const(turns * whole), lane), ix.mul(i, threads)))
        return w.get_acc(accs[0], self.dtype)

    def together(self, shared: str, t: Index, lane: Index, mine: Scalar) -> Scalar:
        """The sum of a team: thread i with i + team/2, then with i + team/4, …"""
        w, team = self.w, self.s.team
        if team.threads == 1:
            return mine
        stride = team.rows if team.columns else 1
        w.store(shared, t, mine)
        self.k.barrier()
        half = team.threads // 2
        while half:
            with w.when(w.lt(w.index_value(lane), half)):
                other = w.load(shared, ix.add(t, ix.const(half * stride)), self.dtype, pinned=True)
                w.store(shared, t, w.add(w.load(shared, t, self.dtype, pinned=True), other))
            self.k.barrier()
            half //= 2
        return w.load(shared, ix.sub(t, ix.mul(lane, stride)), self.dtype, pinned=True)

    def finish(self, at: Point, total: Scalar) -> None:
        """Apply what follows the product in its group, and store."""
        w, elements, out = self.w, self.k.elements(), self.node.outputs[0]
        result = convert(w, total, out.type.dtype)
        elements.known[out] = lambda idx: result
        for v in self.group.outputs:
            idx = point_of(self.group, v, at)
            w.store(self.k.buffer(v, "w"), linear(idx, v.type.shape), elements.at(v, idx))
