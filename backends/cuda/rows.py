"""Reductions: the elements of a row over a team of threads, rows over the rest of the block and over blocks."""

from __future__ import annotations

import math

from ingot.backends.cuda.axes import Axes, chosen_axes
from ingot.backends.cuda.block_kernel import THREADS, WARP, power_of_two, verify_threads
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.cascade import rounds, run_of
from ingot.ir.lower.group import Group
from ingot.ir.lower.nest.passes import Passes, fold_of
from ingot.ir.lower.nest.trial import Trial
from ingot.ir.lower.schedule import Schedule, ScheduleError
from ingot.ir.machine import Machine
from ingot.ir.size import ceil_div, exactly
from ingot.ir.struct import value_type
from ingot.ir.types import Dim

__all__ = ["Rows", "Team", "choose"]

SHORT = 16  # a row of so many elements is folded by one thread
SHARE = 4  # elements that each thread of a team should have
COLUMN_SHARE = 8  # the same where the threads of a team are no neighbours
PART_SHARE = 16  # the same for a part of a split row
EACH = 4  # elements of a step
LONG = 600  # instructions of a step, at most
WAVES = 4  # blocks for each that a machine wants, where rows are split: their threads mostly wait for memory
BESIDES = 8 << 10  # bytes of shared memory for other than kept rows, of a block's half of what a multiprocessor has


@value_type
class Team(Schedule):
    """How a block's threads share its rows. Team and rows are powers of two; their product is the number of threads.

    threads  that share a row
    rows     of a block
    columns  neighbouring threads have neighbouring rows, else neighbouring elements of a row
    """

    threads: int
    rows: int
    columns: bool = False

    def verify(self, group: Group) -> None:
        verify_threads(threads=self.threads, rows=self.rows, block=self.threads * self.rows)


@value_type
class Rows(Schedule):
    """Rows, each folded by a team of threads, in as many passes as reductions follow each other.

    axes     the kept axes that are not of extent 1, outermost first, those that run as one together
    over     the reduced ones
    team     the threads of a row
    kept     dear members that several passes need, in shared memory: (position in the group, the pass that computes it)
    step     a row is split into parts of so many elements, which other blocks fold; a second kernel combines them
    combine  the threads of that
    run      steps of a thread's sum that are a run, where it is a cascade; 0: all are one run
    each     elements of a row that a thread folds in a step, so that several loads are on their way
    beside   these are neighbours, which are loaded as one; they divide rows, and parts of them
    """

    axes: Axes
    over: Axes
    team: Team
    kept: tuple[tuple[int, int], ...] = ()
    step: int = 0
    combine: Team | None = None
    run: int = 0
    each: int = 1
    beside: bool = False

    def verify(self, group: Group) -> None:
        def need(ok: bool, what: str) -> None:
            if not ok:
                raise ScheduleError(f"{self}: {what} ({group})")

        wide = [a for a, d in enumerate(group.shape) if d != 1]
        need(sorted(a for run in self.axes for a in run) == [a for a in wide if a not in group.reduced], "the kept axes are others")
        need(sorted(a for run in self.over for a in run) == [a for a in wide if a in group.reduced], "the reduced axes are others")
        self.team.verify(group)
        passes = Passes(group)
        for at, k in self.kept:
            need(0 <= at < len(group.nodes) and 0 <= k < passes.count, "it keeps what is not there")
            v = group.nodes[at].outputs[0]
            need(v in passes.full and passes.levels[v] <= k and v in passes.reads(k), "what is kept is computed by a pass that cannot")
        need(self.run >= 0, "runs of less than nothing")
        length = math.prod(group.shape[a] for a in group.reduced)
        fits = exactly(length, self.each) is not None and self.step % self.each == 0
        need(1 <= self.each <= 8 and (not self.beside or fits), "steps of other elements")
        need((self.combine is not None) == (self.step > 0), "parts that nothing combines, or no parts to combine")
        if self.combine is not None:
            need(_splits(passes), "rows that cannot be split")
            self.combine.verify(group)


def choose(group: Group, machine: Machine) -> Rows:
    """The schedule of a nest with reductions."""
    runs, along = chosen_axes(group)
    passes = Passes(group)
    if along is not None:  # innermost of its kind
        runs = (*runs[:along], *runs[along + 1 :], runs[along])
    axes = tuple(run for run in runs if run[0] not in group.reduced)
    over = tuple(run for run in runs if run[0] in group.reduced)
    rows, length = (math.prod(group.shape[a] for run in some for a in run) for some in (axes, over))
    columns = along is not None and runs[-1][0] not in group.reduced
    many, long = assumed(rows), assumed(length) if length != 0 else 0
    team = _team(many, long, columns, machine)
    blocks = -(-many // team.rows) if rows != 0 else 0
    if blocks and _splits(passes):
        parts = min(WAVES * machine.workers // blocks, long // (team.threads * PART_SHARE))
        if parts > 1:
            step = -(-long // (parts * team.threads * EACH)) * team.threads * EACH
            each, beside = _each(group, passes, length, step, team, columns)
            combine = _team(many, -(-long // step), True, machine)
            return Rows(axes, over, team, (), step, combine, _run(passes, step, team, each), each, beside)
    kept = _kept(group, passes, team.rows * length, machine) if isinstance(length, int) else ()
    each, beside = _each(group, passes, length, 0, team, columns)
    return Rows(axes, over, team, kept, run=_run(passes, length, team, each), each=each, beside=beside)


def _each(group: Group, passes: Passes, length: Dim, step: int, team: Team, columns: bool) -> tuple[int, bool]:
    """Elements of a step, where code is short enough to be there several times and rows are long enough; and whether they are
    neighbours."""
    if assumed(length) < 2 * EACH * team.threads or EACH * Trial(group, passes, False).instructions > LONG:
        return 1, False
    return EACH, not columns and exactly(length, EACH) is not None


def _run(passes: Passes, elements: Dim, team: Team, each: int) -> int:
    """Steps of a run, where a team folds so many elements."""
    return run_of(ceil_div(elements, team.threads)) // each if any(rounds(fold_of(n), n) for n in passes.reductions) else 0


def _splits(passes: Passes) -> bool:
    """Whether rows may be folded in parts: one pass, which stores nothing."""
    return passes.count == 1 and not passes.writes(0)


def _team(rows: int, length: int, columns: bool, machine: Machine) -> Team:
    if columns:
        side = min(WARP, power_of_two(rows))
        threads = 1
        while threads * side < THREADS and threads * COLUMN_SHARE <= length and rows * threads < machine.workers * THREADS:
            threads *= 2
    elif length <= SHORT:
        threads = 1
    else:
        threads = min(THREADS, max(WARP, power_of_two(-(-length // SHARE))))
    return Team(threads, min(THREADS // threads, power_of_two(rows)), columns)


def _kept(group: Group, passes: Passes, elements: int, machine: Machine) -> tuple[tuple[int, int], ...]:
    """Dear full members that several passes need, while `elements` of each fit into shared memory; each with the first pass."""
    budget = machine.shared_bytes // 2 - BESIDES
    reads = [passes.reads(k) for k in range(passes.count)]
    out = []
    for at, n in enumerate(group.nodes):
        v = n.outputs[0]
        using = [k for k, values in enumerate(reads) if v in values]
        size = elements * v.type.dtype.itemsize
        if n.op.lowering.cost.keep and v in passes.full and len(using) > 1 and size <= budget:
            budget -= size
            out.append((at, using[0]))
    return tuple(out)
