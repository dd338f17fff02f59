"""Copies whose source lies across: squares of elements that are transposed in registers.

Where the elements of a result that lie next to each other come from places far apart, each of them would fetch a line of memory. A
square whose side is a line reads and writes whole lines.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from ingot.ir.facts import View
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index, Var
from ingot.ir.loop.ir import Load, Transpose
from ingot.ir.loop.points import linear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written, no_code
from ingot.ir.lower.nest.point import point_of
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.lower.tiles.shape import coefficient
from ingot.ir.machine import Machine
from ingot.ir.size import at_most, ceil_div
from ingot.ir.struct import struct, value_type
from ingot.ir.types import Dim

__all__ = ["Across", "choose", "emit"]

SIZES = {1: 16, 2: 16, 4: 16, 8: 8}  # elements of a square's side, by their bytes: a line of the caches, as far as registers go
TILE = 4  # squares along each side of an item, which then touches few pages


@value_type
class Across(Schedule):
    """A copy by transposed squares.

    axes       the axes that are not of extent 1, in order, those that run as one together
    along      which of these results lie together along
    across     which of these the source lies together along
    size       elements of a square's side
    tile       squares along each side of an item
    chunk      items of a parallel chunk
    streaming  results are stored past the caches
    """

    axes: tuple[tuple[int, ...], ...]
    along: int
    across: int
    size: int
    tile: int = TILE
    chunk: int = 1
    streaming: bool = False

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.size)
        at_least_one(size=self.size, tile=self.tile, chunk=self.chunk)
        copy = copy_of(group)
        if copy is None or [a for run in self.axes for a in run] != [a for a, d in enumerate(group.shape) if d != 1]:
            raise ScheduleError(f"{self}: no copy, or one along other axes ({group})")
        last = [run[-1] for run in self.axes]
        fits = 0 <= self.along < len(last) and 0 <= self.across < len(last)
        if not fits or not copy.turns(last[self.along], last[self.across]) or not all(map(copy.merge, self.axes)):
            raise ScheduleError(f"{self}: nothing to turn along these axes ({group})")


@struct
class _Copy:
    """A group that copies: where it reads and writes an element, by variables a0, a1, … of the group's axes."""

    group: Group
    source: Value
    load: Index
    store: Index

    def turns(self, along: int, across: int) -> bool:
        """Whether results lie together along one axis and the source along the other."""
        one, other = f"a{along}", f"a{across}"
        return along != across and ix.coefficient(self.store, one) == 1 and ix.coefficient(self.load, other) == 1

    def merge(self, run: tuple[int, ...]) -> bool:
        """Whether axes run as one by the last of them."""
        pairs = [(f"a{a}", f"a{b}", self.group.shape[b]) for a, b in zip(run, run[1:])]
        return all(ix.coefficient(i, a) == ix.coefficient(i, b) * d for i in (self.load, self.store) for a, b, d in pairs)  # type: ignore


def copy_of(group: Group) -> _Copy | None:
    """What a group copies; None where it does something else, or not at places that are sums of its axes."""
    if len(group.outputs) != 1 or group.reduced or not all(isinstance(n.op.lowering, View) for n in group.nodes):
        return None
    (v,) = group.outputs
    k = GroupKernel(group, "trial", no_code)
    point = point_of(group, v, k.point("a", group.shape))
    k.elements().at(v, point)
    body = k.w.finish().body
    if len(body) != 1 or not isinstance(body[0], Load) or body[0].mask is not None:
        return None
    load, store = body[0].index, linear(point, v.type.shape)
    if any(not isinstance(atom, Var) for i in (load, store) for atom, _ in i.terms):
        return None
    (source,) = k.names
    return _Copy(group, source, load, store)


def choose(group: Group, axes: tuple[tuple[int, ...], ...], machine: Machine) -> Across | None:
    """The schedule of a copy whose source lies across; None for all else."""
    v, copy = group.outputs[0], copy_of(group)
    itemsize = v.type.dtype.itemsize
    if copy is None or itemsize not in SIZES or copy.source.type.dtype is not v.type.dtype:
        return None
    size = SIZES[itemsize]
    wide = [k for k, run in enumerate(axes) if assumed(prod(group.shape[a] for a in run)) >= size]
    pairs = [(a, b) for a in wide for b in wide if copy.turns(axes[a][-1], axes[b][-1])]
    if not pairs or not all(map(copy.merge, axes)):
        return None
    along, across = pairs[0]
    chunk = max(1, machine.chunk_elements // (size * TILE) ** 2)
    return Across(axes, along, across, size, TILE, chunk, bool(at_most(machine.cache_bytes[2], v.type.nbytes)))


def emit(group: Group, s: Across, check: Callable[[Node], int]) -> list[Written]:
    """The kernel of a copy by squares."""
    copy = copy_of(group)
    assert copy is not None
    k = GroupKernel(group, "turn", check)
    w = k.w
    (v,) = group.outputs
    src, dst = k.buffer(copy.source, "r"), k.buffer(v, "w")
    extents = [prod(group.shape[a] for a in run) for run in s.axes]
    rows, columns = extents[s.across], extents[s.along]
    others = [j for j in range(len(s.axes)) if j not in (s.along, s.across)]
    side = s.size * s.tile
    counts = [*(extents[j] for j in others), ceil_div(rows, side), ceil_div(columns, side)]
    steps = [coefficient(i, f"a{run[-1]}") for i in (copy.load, copy.store) for run in s.axes]
    loads, stores = steps[: len(s.axes)], steps[len(s.axes) :]

    def place(i: Index, steps: list, at: dict[int, Index]) -> Index:
        out = Index(i.const, ())
        for j, x in at.items():
            out = ix.add(out, ix.mul(x, steps[j]))
        return out

    def item(i: Index) -> None:
        at: dict[int, Index] = {}
        for j, n in zip(reversed([*others, s.across, s.along]), reversed(counts)):
            at[j] = ix.mod(i, n, w.ranges)
            i = ix.div(i, n, w.ranges)
        corner = {j: ix.mul(at[j], side) for j in (s.across, s.along)}
        left = [w.rest(at[j], side, n) for j, n in ((s.across, rows), (s.along, columns))]
        small = [w.lt(w.index_value(ix.const(n)), s.size) for n in (rows, columns) if not at_most(s.size, n)]
        if not small:
            squares(at, corner, left)
            return
        few = small[0] if len(small) == 1 else w.or_(*small)
        with w.when(w.not_(few)):
            squares(at, corner, left)
        with w.when(few), w.loop("serial", left[0]) as b, w.loop("serial", left[1]) as a:
            here = {**at, s.across: ix.add(corner[s.across], b), s.along: ix.add(corner[s.along], a)}
            x = w.load(src, place(copy.load, loads, here), v.type.dtype)
            w.store(dst, place(copy.store, stores, here), x)

    def squares(at: dict[int, Index], corner: dict[int, Index], left: list[Index | Dim]) -> None:
        def count(n: Index | Dim) -> Index | Dim:
            return ix.div(ix.add(n, ix.const(s.size - 1)), s.size) if isinstance(n, Index) else ceil_div(n, s.size)

        def first(j: int, i: Index, n: Dim) -> Index:
            """Where a square begins: the last one of an axis early, so that it is whole."""
            start = ix.add(corner[j], ix.mul(i, s.size))
            if isinstance(n, int) and n % s.size == 0:
                return start
            return w.as_index(w.min(w.index_value(start), w.index_value(ix.const(n - s.size))))

        with w.loop("serial", count(left[0])) as b, w.loop("serial", count(left[1])) as a:
            here = {**at, s.across: first(s.across, b, rows), s.along: first(s.along, a, columns)}
            to, source = place(copy.store, stores, here), place(copy.load, loads, here)
            w.append(Transpose(dst, to, stores[s.across], src, source, loads[s.along], s.size, s.streaming))

    w.chunks(prod(counts), s.chunk, item)
    return [k.finish(s, twice=True)]
