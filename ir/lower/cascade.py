"""Long folds as a cascade: runs of steps are folded on their own, then sixteen such results at a time, and so on.

A sum in one chain is off by as many roundings as it has terms; in a cascade by those of a run, and sixteen a level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Generic, TypeVar

from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.folds import FMA, SUM, Fold
from ingot.ir.loop.points import ZERO, Point
from ingot.ir.lower.writer import KernelWriter
from ingot.ir.struct import value_type

__all__ = ["Cascade", "Steps", "rounds", "run_of"]

FAN = 16  # results of a level that are folded into one of the next
RUN = 64  # steps of a run

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

    extent: int
    count: Index | int | None = None
    width: int = 0
    whole: bool = False
    kind: str = "serial"

    def __len__(self) -> int:
        return -(-self.extent // (self.width or 1))


def run_of(steps: int, run: int = RUN) -> int:
    """How many of so many steps in a row are a run; 0: all of them, as they are few more."""
    return run if steps > run + run // 2 else 0


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
        """Loops within each other, the first outermost; `body` folds the element at a point of them into accumulators."""
        if not loops:
            body(accs, at)
            return
        first, *inner = loops
        within = max(1, prod(map(len, inner)))
        count = first.extent if first.count is None else first.count

        def each(accs: Accs, base: Index, count: Index | int, most: int) -> None:
            self._run(first, base, count, most, lambda i: self.over(inner, accs, body, (*at, i)))

        if not self.run or len(first) * within <= self.run:
            each(accs, ZERO, count, first.extent)
            return
        run = _divisor(len(first), max(1, self.run // within)) * (first.width or 1)
        whole = first.count is None and first.extent % run == 0

        def one(accs: Accs, r: Index) -> None:
            each(accs, ix.mul(r, run), run if whole else self.w.rest(r, run, count), run)

        runs = -(-first.extent // run)
        self._level(accs, ZERO, runs, runs, one)

    def _level(self, accs: Accs, first: Index, count: Index | int, most: int, one: Callable[[Accs, Index], None]) -> None:
        """`count` runs from the first on, which are at most `most`."""
        w, size = self.w, 1
        while size * FAN < most:
            size *= FAN
        turns = -(-count // size) if isinstance(count, int) else ix.div(ix.add(count, ix.const(size - 1)), size)
        with w.loop("serial", turns, most=-(-most // size)) as r:
            part = self.fresh()
            at = ix.add(first, ix.mul(r, size))
            if size == 1:
                one(part, at)
            else:
                self._level(part, at, w.rest(r, size, count), size, one)
            self.add(accs, part)

    def _run(self, loop: Steps, base: Index, count: Index | int, most: int, body: Callable[[Index], None]) -> None:
        """`body` for `count` elements from `base` on, which are at most `most`."""
        if loop.width:
            exact = count % loop.width == 0 if isinstance(count, int) else loop.whole
            with self.w.loop("vector", count, loop.width, exact, most) as i:
                body(ix.add(base, i))
        elif count == 1:
            body(base)
        else:
            with self.w.loop(loop.kind, count, most=most) as i:
                body(ix.add(base, i))


def _divisor(n: int, near: int) -> int:
    """The divisor of n nearest to a number, from its half to its double; the number where there is none: a run that ends early costs
    a comparison in each."""
    fit = [d for d in range(-(-near // 2), 2 * near + 1) if n % d == 0]
    return min(fit, key=lambda d: (abs(d - near), -d), default=near)
