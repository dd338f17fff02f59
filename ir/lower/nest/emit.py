"""Writing the loops of a nest: chunks of items, and in an item all passes over the reduced axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.folds import highest
from ingot.ir.loop.ir import Alloc
from ingot.ir.loop.points import ZERO, Point
from ingot.ir.lower import few_rows
from ingot.ir.lower.cascade import Cascade, Steps, rounds
from ingot.ir.lower.few_rows import FewRows
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.nest import turn
from ingot.ir.lower.nest.passes import Passes, accumulators, fold_of
from ingot.ir.lower.nest.point import input_point, point_of, with_small_loops
from ingot.ir.lower.nest.schedule import Nest
from ingot.ir.lower.nest.turn import Across
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.scalars import convert
from ingot.ir.size import Size, at_most, ceil_div, exactly, larger
from ingot.ir.types import Dim

__all__ = ["emit"]

At = list[Index]  # where the axes of the group are; merged axes run by their last one
Accs = dict[Node, tuple[str, ...]]  # the accumulators of each reduction


def emit(group: Group, s: Nest | Across | FewRows, check: Callable[[Node], int]) -> list[Written]:
    """The kernel of a nest."""
    if isinstance(s, FewRows):
        return few_rows.emit(group, s, check)
    if isinstance(s, Across):
        return turn.emit(group, s, check)
    e = _Emission(group, s, check)
    if s.split is None:
        e.items()
    else:
        e.parts()
    return [e.k.finish(s)]


class _Emission:
    def __init__(self, group: Group, s: Nest, check: Callable[[Node], int]):
        self.group = group
        self.s = s
        self.k = GroupKernel(group, "nest", check)
        self.w = self.k.w
        self.elements = self.k.elements()
        with_small_loops(group, self.elements, s.unroll, s.along_k, s.run)
        self.passes = Passes(group)
        axes = range(len(s.axes))
        self.extent = [s.extent(group, a) for a in axes]
        self.reduced = [a for a in axes if s.reduced(group, a)]
        self.kept = [a for a in axes if a not in self.reduced]
        self.across = s.vector if s.vector in self.kept else None  # the vector axis where it is kept
        self.outer = [a for a in self.kept if a != self.across]  # the axes that items count
        self.blocks: Dim = 1
        if self.across is not None:
            self.blocks = ceil_div(self.extent[self.across], s.block) if s.block else 0
        self.n_items = math.prod(self.extent[a] for a in self.outer) * self.blocks
        nodes = [group.nodes[at] for at, _ in s.kept]
        self.rows = {n.outputs[0]: (self.w.fresh("row"), k) for n, (_, k) in zip(nodes, s.kept)}

    # -- items -------------------------------------------------------------------------------------------------------

    def items(self) -> None:
        """All items, in parallel chunks where they are more than one chunk holds."""
        n, per = self.n_items, self.s.chunk
        if at_most(n, per):
            self.run_of_items(n, None)
            return
        with self.w.loop("parallel", ceil_div(n, per)) as p:
            if per == 1:
                self.item(p)
            else:
                self.run_of_items(self.w.rest(p, per, n), ix.mul(p, per))

    def run_of_items(self, count: Index | Dim, base: Index | None) -> None:
        """`count` items from `base` on."""
        if count == 1:
            self.item(base if base is not None else ix.const(0))
            return
        with self.w.loop("serial", count) as i:
            self.item(i if base is None else ix.add(base, i))

    def item(self, item: Index) -> None:
        at, block = self.place(item)
        self.lanes_across(at, block, self.all_passes)

    def place(self, item: Index) -> tuple[At, Index | None]:
        """Where an item lies: its kept axes, and the block of the vector axis (None: it is one block)."""
        at = [ZERO] * len(self.group.shape)
        rows, block = item, None
        if not at_most(self.blocks, 1):
            block, rows = self.mod(item, self.blocks), self.div(item, self.blocks)
            if not self.outer and isinstance(self.blocks, Size):
                block = item
        for k in range(len(self.outer) - 1, -1, -1):
            axis = self.outer[k]
            self.put(at, axis, rows if k == 0 else self.mod(rows, self.extent[axis]))
            if k:
                rows = self.div(rows, self.extent[axis])
        return at, block

    def lanes_across(self, at: At, block: Index | None, row: Callable[[At], None]) -> None:
        """`row` for every lane of a block of the vector axis where that is kept, else once."""
        axis, s = self.across, self.s
        if axis is None:
            row(at)
            return
        extent: Index | Dim = self.extent[axis]
        base: Index | None = None
        if s.cuts:
            self.parts_across(at, row)
            return
        if block is not None:
            base = ix.mul(block, s.block)
            extent = self.w.rest(block, s.block, self.extent[axis])
        exact = not isinstance(extent, Index) and exactly(extent, s.width) is not None
        with self.w.loop("vector", extent, s.width, exact, span=s.block or None) as v:
            at = list(at)
            self.put(at, axis, v if base is None else ix.add(base, v))
            row(at)

    def parts_across(self, at: At, row: Callable[[At], None]) -> None:
        """The same of the parts that cuts make of the axis."""
        axis, s, w = self.across, self.s, self.w
        assert axis is not None
        ends = [0, *s.cuts, self.extent[axis]]
        for begin, end in zip(ends, ends[1:]):
            n = end - begin
            width = s.width
            while width > 1 and isinstance(n, int) and width // 2 >= n:
                width //= 2
            with w.loop("vector" if width > 1 else "serial", n, width, exactly(n, width) is not None) as v:
                w.parts.add(v.terms[0][0].name)  # type: ignore[union-attr]
                here = list(at)
                self.put(here, axis, ix.add(v, ix.const(begin)))
                row(here)

    def put(self, at: At, axis: int, i: Index) -> None:
        at[self.s.axes[axis][-1]] = i

    def div(self, i: Index, by: Dim) -> Index:
        return ix.div(i, max(1, by) if isinstance(by, int) else by, self.w.ranges)

    def mod(self, i: Index, by: Dim) -> Index:
        return ix.mod(i, max(1, by) if isinstance(by, int) else by, self.w.ranges)

    # -- passes ------------------------------------------------------------------------------------------------------

    def all_passes(self, at: At) -> None:
        """All passes for one point of the kept axes."""
        w, passes = self.w, self.passes
        for v, (name, _) in self.rows.items():
            w.append(Alloc(name, v.type.dtype, self.extent[self.reduced[0]], "worker"))
        for k in range(passes.count):
            folds, outputs = passes.folds(k), passes.writes(k)
            accs = {n: self.declare(n) for n in folds}
            if folds or outputs or any(first == k for _, first in self.rows.values()):
                self.fold(at, accs, {}, partial(self.point, k, outputs))
            for n in folds:
                self.finish(n, at, accs[n])
        for v in self.group.outputs:
            if v not in passes.full or not passes.reductions:
                self.store(v, at)

    def fold(self, at: At, accs: Accs, parts: dict[int, tuple[Index, Index | Dim, int]], body: Callable[[Accs, At], None]) -> None:
        """Loops over the reduced axes, vectors innermost where they run along one; `body` folds a point into accumulators.

        parts: of the axes that are not gone through from end to end: where they begin, how many elements, how many at most
        """
        vector, width = self.s.vector, self.s.width
        axes = [a for a in self.reduced if a != vector] + [a for a in self.reduced if a == vector]
        loops = []
        for a in axes:
            _, count, most = parts.get(a, (ZERO, self.extent[a], self.extent[a]))
            whole = exactly(self.extent[a], width) is not None and exactly(most, width) is not None
            loops.append(Steps(most, count, width, whole) if a == vector else Steps(most, count))

        def point(accs: Accs, where: Point) -> None:
            here = list(at)
            for a, i in zip(axes, where):
                self.put(here, a, ix.add(parts[a][0], i) if a in parts else i)
            body(accs, here)

        self.cascade(accs).over(loops, accs, point)

    def cascade(self, accs: Accs) -> Cascade[Accs]:
        """How these reductions are folded: in runs where the schedule says so, and a sum among them rounds."""
        run = self.s.run if any(rounds(fold_of(n), n) for n in accs) else 0
        return Cascade(self.w, run, lambda: {n: self.declare(n) for n in accs}, self.add)

    def add(self, accs: Accs, part: Accs) -> None:
        """Fold partial results into accumulators."""
        for n, names in part.items():
            self.w.reduce(accs[n], fold_of(n).across.name, self.values(n, names))

    def point(self, k: int, outputs: list[Value], accs: Accs, at: At) -> None:
        """What pass k does at one point."""
        w, known = self.w, self.elements.known
        for v, (row, first) in self.rows.items():
            i = at[self.s.axes[self.reduced[0]][-1]]
            idx = point_of(self.group, v, at)
            if first == k:
                known.pop(v, None)
                w.store(row, i, self.elements.at(v, idx))
            elif first < k:
                known[v] = partial(_only_at, idx, w.load(row, i, v.type.dtype, pinned=True))
        for n, names in accs.items():
            self.accumulate(n, names, at)
        for v in outputs:
            self.store(v, at)

    def declare(self, n: Node) -> tuple[str, ...]:
        """The accumulators of a reduction."""
        return tuple(self.w.acc(d, init) for d, init in accumulators(n))

    def accumulate(self, n: Node, names: tuple[str, ...], at: At) -> None:
        """Fold the element at a point into the accumulators."""
        w, fold = self.w, fold_of(n)
        idx = input_point(self.group, n, at)
        types = [d for d, _ in accumulators(n)]
        x = w.cast(self.elements.at(n.inputs[0], idx), types[0])
        w.reduce(names, fold.name, (x, w.cast(w.index_value(idx[n.attrs[0]]), types[1])) if fold.positions else (x,))

    def values(self, n: Node, names: tuple[str, ...]) -> tuple[Scalar, ...]:
        """What the accumulators of a reduction hold."""
        return tuple(self.w.get_acc(a, d) for a, (d, _) in zip(names, accumulators(n)))

    def finish(self, n: Node, at: At, names: tuple[str, ...]) -> None:
        """Make the result of a reduction known for the rest of the item."""
        out, w = n.outputs[0], self.w
        fold, values = fold_of(n), self.values(n, names)
        result = values[fold.result]
        if fold.positions:  # none is better than what the fold starts from
            result = w.select(w.eq(result, highest(result.dtype)), w.const(0, result.dtype), result)
        result = convert(w, result, out.type.dtype)
        self.elements.known[out] = partial(_only_at, point_of(self.group, out, at), result)

    def store(self, v: Value, at: At) -> None:
        """Store the element of an output."""
        name = self.k.buffer(v, "w")
        idx = point_of(self.group, v, at)
        streaming = self.group.outputs.index(v) in self.s.streaming
        self.w.store(name, self.group.offset(v, idx), self.elements.at(v, idx), streaming=streaming)

    # -- split reductions: partial results of every part, then their combination ---------------------------------------

    def parts(self) -> None:
        """Every part of every item is a parallel chunk; one thread combines them, in order."""
        w, split = self.w, self.s.split
        assert split is not None
        parts = ceil_div(self.extent[split.axis], split.step)
        slots = larger(1, parts * math.prod(self.extent[a] for a in self.kept))
        reductions = self.passes.reductions
        scratch = {n: tuple(w.scratch(d, slots, "kernel") for d, _ in accumulators(n)) for n in reductions}
        n = self.n_items
        with w.loop("parallel", n * parts) as p:
            item, part = (self.div(p, parts), self.mod(p, parts)) if not at_most(n, 1) else (ix.const(0), p)
            at, block = self.place(item)
            base, count = ix.mul(part, split.step), w.rest(part, split.step, self.extent[split.axis])
            self.lanes_across(at, block, partial(self.fold_part, scratch, part, base, count))
        self.each(n, lambda item: self.lanes_across(*self.place(item), partial(self.combine, scratch, parts)))

    def each(self, n: Dim, body: Callable[[Index], None]) -> None:
        if n == 1:
            body(ix.const(0))
        else:
            with self.w.loop("serial", n) as i:
                body(i)

    def fold_part(self, scratch: Accs, part: Index, base: Index, count: Index | Dim, at: At) -> None:
        """Fold one part of a row into its slots of scratch."""
        w, s = self.w, self.s
        assert s.split is not None
        accs = {n: self.declare(n) for n in scratch}
        self.fold(at, accs, {s.split.axis: (base, count, s.split.step)}, self.point_of_part)
        slot = self.slot(part, at)
        for n, names in accs.items():
            for buf, a, (d, _) in zip(scratch[n], names, accumulators(n)):
                w.store(buf, slot, w.get_acc(a, d))

    def point_of_part(self, accs: Accs, at: At) -> None:
        """Fold a point into the accumulators of a part."""
        for n, names in accs.items():
            self.accumulate(n, names, at)

    def combine(self, scratch: Accs, parts: Dim, at: At) -> None:
        """Fold the parts of a row, and store what follows from them."""
        w = self.w
        accs = {n: self.declare(n) for n in scratch}

        def fold_in(accs: Accs, where: Point) -> None:
            slot = self.slot(where[0], at)
            for n, names in accs.items():
                values = tuple(w.load(buf, slot, d, pinned=True) for buf, (d, _) in zip(scratch[n], accumulators(n)))
                w.reduce(names, fold_of(n).across.name, values)

        self.cascade(accs).over([Steps(parts)], accs, fold_in)
        for n, names in accs.items():
            self.finish(n, at, names)
        for v in self.group.outputs:
            self.store(v, at)

    def slot(self, part: Index, at: At) -> Index:
        """Where the partial result of a row lies in scratch."""
        row = ZERO
        for axis in self.kept:
            row = ix.add(ix.mul(row, self.extent[axis]), at[self.s.axes[axis][-1]])
        return ix.add(ix.mul(part, math.prod(self.extent[a] for a in self.kept)), row)


def _only_at(point: Point, x: Scalar, idx: Point) -> Scalar | None:
    """x at its own point; what is asked for elsewhere is unknown."""
    return x if idx == point else None
