"""Elements that are read along one axis and written along another: tiles turn in shared memory.

A block has a square of the two axes. What lies along the first is brought there with neighbouring threads side by side in memory; after
a barrier every thread computes and stores elements along the second. Lines of the square are one element longer than they need be, so
that its columns lie in different banks. What is read in any other way is read where it is wanted.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.backends.cuda.axes import Axes, chosen_axes
from ingot.backends.cuda.block_kernel import BlockKernel, verify_threads
from ingot.ir.dtypes import DType
from ingot.ir.facts import Contraction, Window
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index, Var
from ingot.ir.loop.ir import Load
from ingot.ir.loop.points import ZERO, linear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written, no_code
from ingot.ir.lower.nest.point import point_of
from ingot.ir.lower.schedule import Schedule, ScheduleError
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.machine import Machine
from ingot.ir.size import ceil_div, exactly
from ingot.ir.struct import value_type

__all__ = ["Turned", "choose", "emit"]

SIDE = 32  # of a square
LEAST = 16  # an axis of fewer elements fills too little of it
MOST = 4  # squares of a block


@value_type
class Turned(Schedule):
    """Squares of `side` elements along the last two of `axes` (those that are not of extent 1, some that run as one together): elements
    are read along the last but one and written along the last. `threads` of a block: whole lines of a square."""

    axes: Axes
    side: int
    threads: int

    def verify(self, group: Group) -> None:
        verify_threads(threads=self.threads, side=self.side)
        wide = sorted(a for run in self.axes for a in run)
        if wide != [a for a, d in enumerate(group.shape) if d != 1] or len(self.axes) < 2 or group.reduced:
            raise ScheduleError(f"{self}: axes are not the group's ({group})")
        if self.threads % self.side or self.side * self.side % self.threads:
            raise ScheduleError(f"{self}: threads are no lines of a square ({group})")


def choose(group: Group, machine: Machine) -> Turned | None:
    """The schedule of a group without reductions that reads across what it writes; None for any other."""
    if any(isinstance(n.op.lowering, (Window, Contraction)) for n in group.nodes):
        return None
    axes, _ = chosen_axes(group)
    loads, stores = _accesses(group)
    along = [i for i, run in enumerate(axes) if all(_step(s, run) == 1 for s in stores)]
    if not along:
        return None
    (to,) = along
    for i, run in enumerate(axes):
        across = {load for load in loads if _step(load[1], run) == 1 and _step(load[1], axes[to]) not in (0, 1)}
        if i != to and 0 < len(across) <= MOST and min(_extent(group, run), _extent(group, axes[to])) >= LEAST:
            others = tuple(r for j, r in enumerate(axes) if j not in (i, to))
            return Turned((*others, run, axes[to]), SIDE, 256)
    return None


def _extent(group: Group, run: tuple[int, ...]) -> int:
    return assumed(math.prod(group.shape[a] for a in run)) if all(group.shape[a] != 0 for a in run) else 0


def _step(i: Index, run: tuple[int, ...]) -> object:
    """What an index grows by along a run."""
    return ix.coefficient(i, f"a{run[-1]}")


Access = tuple[Value, Index]  # a value in memory, and a place by variables a0, a1, … of the axes


def _accesses(group: Group) -> tuple[list[Access], list[Index]]:
    """The plain loads of a point, and where its results are stored."""
    k = GroupKernel(group, "trial", no_code)
    at = k.point("a", group.shape)
    stores = []
    for v in group.outputs:
        idx = point_of(group, v, at)
        k.elements().at(v, idx)
        stores.append(linear(idx, v.type.shape))
    values = {name: v for v, name in k.names.items()}
    loads = [(values[s.buf], s.index) for s in k.w.finish().body if isinstance(s, Load) and s.mask is None and s.buf in values]
    return [x for x in loads if all(isinstance(atom, Var) for atom, _ in x[1].terms)], stores


class _Writer(KernelWriter):
    """A writer that finds some loads' elements in shared memory. squares: buffer and place -> shared buffer and place"""

    def __init__(self, name: str):
        super().__init__(name)
        self.squares: dict[tuple[str, Index], tuple[str, Index]] = {}

    def load(self, buf: str, index: Index, dtype: DType, mask: Scalar | None = None, pinned: bool = False) -> Scalar:
        """Load, from shared memory where the element is there."""
        found = self.squares.get((buf, index)) if mask is None else None
        return super().load(*(found or (buf, index)), dtype, mask, pinned or found is not None)


def emit(group: Group, s: Turned, check: Callable[[Node], int]) -> list[Written]:
    """The kernel; none where there are no elements."""
    extents = [math.prod(group.shape[a] for a in run) for run in s.axes]
    if 0 in extents:
        return []
    loads, _ = _accesses(group)
    *_, from_, to = s.axes
    turned = list(dict.fromkeys(x for x in loads if _step(x[1], from_) == 1 and _step(x[1], to) not in (0, 1)))
    k = BlockKernel(group, "turned", check)
    k.w = w = _Writer("turned")
    squares = [k.shared(v.type.dtype, s.side * (s.side + 1)) for v, _ in turned]
    *outer, length, width = extents
    tiles_l, tiles_w = ceil_div(length, s.side), ceil_div(width, s.side)
    with k.grid(math.prod(outer) * tiles_l * tiles_w, s.threads) as (g, t):
        tile_w, rest = ix.mod(g, tiles_w, w.ranges), ix.div(g, tiles_w, w.ranges)
        tile_l, rest = ix.mod(rest, tiles_l, w.ranges), ix.div(rest, tiles_l, w.ranges)
        place = [ZERO] * len(group.shape)
        for run, d in zip(reversed(s.axes[:-2]), reversed(outer)):
            place[run[-1]], rest = ix.mod(rest, d, w.ranges), ix.div(rest, d, w.ranges)
        line, column = ix.div(t, s.side, w.ranges), ix.mod(t, s.side, w.ranges)

        def each(along: bool, body: Callable[[list[Index], Index], None]) -> None:
            """`body` for the thread's elements: neighbouring threads have neighbours along the first axis, or along the second."""
            for u in range(s.side * s.side // s.threads):
                far = ix.add(line, ix.const(u * (s.threads // s.side)))
                l, n = (column, far) if along else (far, column)
                at = list(place)
                at[from_[-1]], at[to[-1]] = ix.add(ix.mul(tile_l, s.side), l), ix.add(ix.mul(tile_w, s.side), n)
                inside = None
                for i, d in ((at[from_[-1]], length), (at[to[-1]], width)):
                    if exactly(d, s.side) is None:
                        inside = k.less(i, d) if inside is None else w.and_(inside, k.less(i, d))
                spot = ix.add(ix.mul(n, s.side + 1), l)
                if inside is None:
                    body(at, spot)
                else:
                    with w.when(inside):
                        body(at, spot)

        def where(index: Index, at: list[Index]) -> Index:
            return ix.placed(index, {f"a{a}": i for a, i in enumerate(at)})

        def bring(at: list[Index], spot: Index) -> None:
            for (v, index), square in zip(turned, squares):
                w.store(square, spot, w.load(k.buffer(v, "r"), where(index, at), v.type.dtype))

        def finish(at: list[Index], spot: Index) -> None:
            w.squares = {(k.names[v], where(index, at)): (square, spot) for (v, index), square in zip(turned, squares)}
            for v in group.outputs:
                idx = point_of(group, v, at)
                w.store(k.buffer(v, "w"), linear(idx, v.type.shape), k.elements().at(v, idx))
            w.squares = {}

        each(True, bring)
        k.barrier()
        each(False, finish)
    return [k.finish(s, twice=True)]
