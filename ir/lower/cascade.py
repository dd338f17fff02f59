"""Long folds as a cascade: runs of steps are folded on their own, then sixteen such results at a time, and so on.

A sum in one chain is off by as many roundings as it has terms; in a cascade by those of a run, and sixteen a level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, prod
from typing import Generic, TypeVar

from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.folds import FMA, SUM, Fold
from ingot.ir.loop.points import ZERO, Point
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.writer import KernelWriter
from ingot.ir.size import Size, at_most, bounds, ceil_div, exactly
from ingot.ir.struct import replace, value_type
from ingot.ir.types import Dim

__all__ = ["Cascade", "Steps", "rounds", "run_of"]

FAN = 16  # results of a level that are folded into one of the next
RUN = 64  # steps of a run
MOST = 256  # runs that are folded before those of another level, where there is no bound: any more are folded in a row

Accs = TypeVar("Accs")


@value_type
class Steps:
    """A loop of a fold.

    extent  how many elements, at most
    count   how many, where that is computed
    width   lanes of its vectors, each of which is a step; 0: a step is an element
    whole   however many they are, they are whole vectors
    kind    of a loop without vectors
    """

    extent: Dim
    count: Index | Dim | None = None
    width: int = 0
    whole: bool = False
    kind: str = "serial"

    @property
    def steps(self) -> Dim:
        """How many steps it has, at most."""
        return ceil_div(self.extent, self.width or 1)


def run_of(steps: Dim, run: int = RUN) -> int:
    """How many of so many steps in a row are a run; 0: all of them, as they are few more."""
    return 0 if at_most(steps, run + run // 2) else run


def rounds(fold: Fold, node: Node) -> bool:
    """Whether a fold of the elements of a node rounds at every step, so that it gets less exact the longer it is."""
    return fold in (SUM, FMA) and node.inputs[0].type.dtype.kind == "f"


@value_type
class Cascade(Generic[Accs]):
    """Writes the loops of a fold.

    run          steps of a run; 0: all steps are one
    fresh()      declares more accumulators
    add(a, b)    folds what accumulators b hold into a
    """

    w: KernelWriter
    run: int
    fresh: Callable[[], Accs]
    add: Callable[[Accs, Accs], None]

    def over(self, loops: Sequence[Steps], accs: Accs, body: Callable[[Accs, Point], None], at: Point = ()) -> None:
        """Loops within each other, the first outermost; `body` folds the element at a point of them into accumulators.

        Where only the call knows whether they are few steps, there are both: loops in a row, and the cascade; one has nothing to do.
        """
        if not loops:
            body(accs, at)
            return
        first, *inner = loops
        total = prod(s.steps for s in loops)
        if self.run and not at and isinstance(total, Size) and not at_most(total, self.run):
            w = self.w
            few = w.le(w.index_value(ix.const(total)), self.run + self.run // 2)
            count = first.extent if first.count is None else first.count
            every = w.index_value(count if isinstance(count, Index) else ix.const(count))
            row, steps = w.as_index(w.select(few, every, 0)), w.as_index(w.select(few, 0, every))
            Cascade(w, 0, self.fresh, self.add).over([replace(first, count=row), *inner], accs, body)
            self._over([replace(first, count=steps), *inner], accs, body, at)
        else:
            self._over(loops, accs, body, at)

    def _over(self, loops: Sequence[Steps], accs: Accs, body: Callable[[Accs, Point], None], at: Point) -> None:
        first, *inner = loops
        steps, each_step = first.steps, prod(s.steps for s in inner)
        within = max(1, assumed(each_step))
        count = first.extent if first.count is None else first.count

        def each(accs: Accs, base: Index, count: Index | Dim, most: Dim) -> None:
            self._run(first, base, count, most, lambda i: self.over(inner, accs, body, (*at, i)))

        if not self.run or at_most(steps * (within if isinstance(each_step, int) else each_step), self.run):
            each(accs, ZERO, count, first.extent)
            return
        run = _divisor(steps, max(1, self.run // within)) * (first.width or 1)
        whole = first.count is None and exactly(first.extent, run) is not None

        def one(accs: Accs, r: Index) -> None:
            each(accs, ix.mul(r, run), run if whole else self.w.rest(r, run, count), run)

        runs = ceil_div(first.extent, run)
        computed = isinstance(count, Index) and isinstance(runs, Size)
        self._level(accs, ZERO, ix.div(ix.add(count, ix.const(run - 1)), run) if computed else runs, runs, one)

    def _level(self, accs: Accs, first: Index, count: Index | Dim, most: Dim, one: Callable[[Accs, Index], None]) -> None:
        """`count` runs from the first on, which are at most `most`."""
        w, size = self.w, 1
        high = bounds(most)[1]
        while size * FAN < (FAN * MOST if high == inf else high):
            size *= FAN
        turns = ix.div(ix.add(count, ix.const(size - 1)), size) if isinstance(count, Index) else ceil_div(count, size)
        with w.loop("serial", turns, most=ceil_div(most, size)) as r:
            part = self.fresh()
            at = ix.add(first, ix.mul(r, size))
            if size == 1:
                one(part, at)
            else:
                self._level(part, at, w.rest(r, size, count), size, one)
            self.add(accs, part)

    def _run(self, loop: Steps, base: Index, count: Index | Dim, most: Dim, body: Callable[[Index], None]) -> None:
        """`body` for `count` elements from `base` on, which are at most `most`."""
        if loop.width:
            exact = loop.whole if isinstance(count, Index) else exactly(count, loop.width) is not None
            with self.w.loop("vector", count, loop.width, exact, most) as i:
                body(ix.add(base, i))
        elif count == 1:
            body(base)
        else:
            with self.w.loop(loop.kind, count, most=most) as i:
                body(ix.add(base, i))


def _divisor(n: Dim, near: int) -> int:
    """The divisor of n nearest to a number, from its half to its double; the number where there is none: a run that ends early costs
    a comparison in each."""
    if not isinstance(n, int):
        return near
    fit = [d for d in range(-(-near // 2), 2 * near + 1) if n % d == 0]
    return min(fit, key=lambda d: (abs(d - near), -d), default=near)
