"""Writing the loops of reductions: passes over a row, and the trees in which the threads of a team combine what they have folded."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

from ingot.backends.cuda.block_kernel import BlockKernel
from ingot.backends.cuda.rows import Rows, Team
from ingot.ir.dtypes import DType
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.folds import highest
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.cascade import Cascade, Steps, rounds
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.nest.passes import Passes, fold_of
from ingot.ir.lower.nest.point import input_point, point_of
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.scalars import convert
from ingot.ir.size import ceil_div, exactly
from ingot.ir.types import Dim, tensor_type

__all__ = ["emit"]

Accs = dict[Node, tuple[str, ...]]  # the accumulators of each reduction
At = list[Index]  # where the axes of the group are; merged axes run by their last one
Check = Callable[[Node], int]


def emit(group: Group, s: Rows, check: Check) -> list[Written]:
    """The kernel of a nest with reductions, or the two of a split one; none where there are no rows."""
    if math.prod(d for a, d in enumerate(group.shape) if a not in group.reduced) == 0:
        return []
    if s.combine is None:
        return [_Whole(group, s, s.team, check).written()]
    parts = ceil_div(math.prod(group.shape[a] for run in s.over for a in run), s.step)
    rows = math.prod(group.shape[a] for run in s.axes for a in run)
    partial_results = {
        n: tuple(Value(tensor_type(d, (parts * rows,))) for d in _types(n)) for n in Passes(group).reductions
    }  # fmt: skip
    first = _Parts(group, s, s.team, check, partial_results, parts).written()
    return [first, _Combination(group, s, s.combine, check, partial_results, parts).written()]


def _types(n: Node) -> tuple[DType, ...]:
    return fold_of(n).accumulators(n.inputs[0].type.dtype)


class _Kernel(ABC):
    """A kernel of teams: each has a row, or (where rows end) computes the last one once more and stores nothing."""

    blocks_of_rows: Dim = 1  # how many blocks have the same rows

    def __init__(self, group: Group, s: Rows, team: Team, check: Check):
        self.group, self.s, self.team = group, s, team
        self.passes = Passes(group)
        self.k = BlockKernel(group, "rows", check)
        self.w = self.k.w
        self.elements = self.k.elements()
        self.extents = tuple(math.prod(group.shape[a] for a in run) for run in s.axes)
        self.lengths = tuple(math.prod(group.shape[a] for a in run) for run in s.over)
        self.rows, self.length = math.prod(self.extents), math.prod(self.lengths)
        self.exchange: dict[tuple[DType, int], str] = {}  # shared memory of one element for each thread

    @abstractmethod
    def body(self) -> None:
        """What a thread does with the row at `self.at`."""

    def written(self) -> Written:
        """The kernel."""
        w, team = self.w, self.team
        blocks = ceil_div(self.rows, team.rows)
        with self.k.grid(blocks * self.blocks_of_rows, team.threads * team.rows) as (g, t):
            self.thread = t
            if team.columns:
                self.lane, place = ix.div(t, team.rows, w.ranges), ix.mod(t, team.rows, w.ranges)
            else:
                self.lane, place = ix.mod(t, team.threads, w.ranges), ix.div(t, team.threads, w.ranges)
            self.place = place
            self.part = ix.div(g, blocks, w.ranges)
            row = ix.add(ix.mul(ix.mod(g, blocks, w.ranges), team.rows), place)
            always = exactly(self.rows, team.rows) is not None
            if team.threads == 1:  # nobody waits for anybody
                self.row, self.valid = row, None
                with self.k.below(row, self.rows, always):
                    self.start()
            else:
                self.row, self.valid = self.k.clamped(row, self.rows, always)
                self.start()
        return self.k.finish(self.s, twice=team.threads > 1, fixed=self.s.beside)

    def start(self) -> None:
        """The code of a thread whose row is known."""
        self.at = [ZERO] * len(self.group.shape)
        for run, i in zip(self.s.axes, delinear(self.row, self.extents, self.w.ranges)):
            self.at[run[-1]] = i
        self.body()

    # -- rows --------------------------------------------------------------------------------------------------------

    def over(self, length: Dim, count: Index | Dim, accs: Accs, body: Callable[[Accs, Index], None]) -> None:
        """`body` for the thread's part of `count` elements, at most `length`: every team-th, or every team-th few neighbours."""
        s = self.s
        each = s.each
        if not s.beside or each == 1:
            self.every(length, count, each, accs, body)
            return

        def neighbours(accs: Accs, i: Index) -> None:
            for u in range(each):
                body(accs, ix.add(ix.mul(i, each), ix.const(u)))

        fewer = ix.div(count, each, self.w.ranges) if isinstance(count, Index) else ceil_div(count, each)
        self.every(ceil_div(length, each), fewer, 1, accs, neighbours)

    def every(self, length: Dim, count: Index | Dim, each: int, accs: Accs, body: Callable[[Accs, Index], None]) -> None:
        """`body` for every team-th of `count` items, at most `length`, from the thread's own place on, `each` of them to a step."""
        w, n = self.w, self.team.threads
        turns: Index | Dim
        if n == 1:
            turns = count
        elif not isinstance(count, Index) and (whole := exactly(count, n)) is not None:
            turns = whole
        else:
            turns = ix.div(ix.sub(ix.add(count if isinstance(count, Index) else ix.const(count), ix.const(n - 1)), self.lane), n, w.ranges)
        run = self.s.run if any(rounds(fold_of(node), node) for node in accs) else 0
        cascade = Cascade(w, run, lambda: {node: self.declare(node) for node in accs}, self.add)
        most = ceil_div(length, n)

        def item(accs: Accs, turn: Index) -> None:
            body(accs, ix.add(ix.mul(turn, n), self.lane))

        if each == 1:
            cascade.over([Steps(most, turns)], accs, lambda accs, at: item(accs, at[0]))
            return

        def several(accs: Accs, at: Point) -> None:
            for u in range(each):
                item(accs, ix.add(ix.mul(at[0], each), ix.const(u)))

        if isinstance(turns, Index):
            turns = w.as_index(w.max(w.index_value(turns), 0))
            steps: Index | Dim = ix.div(turns, each, w.ranges)
            rest: Index | Dim = ix.sub(turns, ix.mul(steps, each))
        else:
            steps = turns // each
            rest = turns - steps * each
        cascade.over([Steps(most // each, steps)], accs, several)
        if rest != 0:
            done = ix.mul(steps if isinstance(steps, Index) else ix.const(steps), each)
            with w.loop("serial", rest, most=each - 1) as i:
                item(accs, ix.add(done, i))

    def add(self, accs: Accs, part: Accs) -> None:
        """Fold what the thread has folded of some elements into its accumulators."""
        for n, names in part.items():
            self.w.reduce(accs[n], fold_of(n).across.name, tuple(self.w.get_acc(a, d) for a, d in zip(names, _types(n))))

    def point(self, i: Index) -> At:
        """Where the i-th element of the row is."""
        at = list(self.at)
        for run, j in zip(self.s.over, delinear(i, self.lengths, self.w.ranges)):
            at[run[-1]] = j
        return at

    def declare(self, n: Node) -> tuple[str, ...]:
        """The thread's own accumulators."""
        types = _types(n)
        return tuple(self.w.acc(d, v) for d, v in zip(types, fold_of(n).neutral(types[0])))

    def accumulate(self, n: Node, names: tuple[str, ...], at: At) -> None:
        """Fold the element at a point into the accumulators."""
        w, fold = self.w, fold_of(n)
        idx = input_point(self.group, n, at)
        types = _types(n)
        x = w.cast(self.elements.at(n.inputs[0], idx), types[0])
        w.reduce(names, fold.name, (x, w.cast(w.index_value(idx[n.attrs[0]]), types[1])) if fold.positions else (x,))

    def store(self, v: Value, at: At) -> None:
        """Store the element of an output."""
        idx = point_of(self.group, v, at)
        self.w.store(self.k.buffer(v, "w"), linear(idx, v.type.shape), self.elements.at(v, idx), self.valid)

    def once(self) -> Scalar | None:
        """Whether this thread stores for its row (None: every thread has one of its own)."""
        if self.team.threads == 1:
            return None
        first = self.w.eq(self.w.index_value(self.lane), 0)
        return first if self.valid is None else self.w.and_(first, self.valid)

    # -- teams -------------------------------------------------------------------------------------------------------

    def combined(self, n: Node, names: tuple[str, ...]) -> tuple[Scalar, ...]:
        """What the threads of the team have folded, together: thread i with i + team/2, then with i + team/4, … in shared memory."""
        w, team, fold = self.w, self.team, fold_of(n).across
        types = _types(n)
        values = tuple(w.get_acc(a, d) for a, d in zip(names, types))
        if team.threads == 1:
            return values
        buffers = [self.buffer_of_threads(d, i) for i, d in enumerate(types)]

        def load(at: Index) -> tuple[Scalar, ...]:
            return tuple(w.load(b, at, d, pinned=True) for b, d in zip(buffers, types))

        def store(values: tuple[Scalar, ...]) -> None:
            for b, v in zip(buffers, values):
                w.store(b, self.thread, v)

        stride = team.rows if team.columns else 1
        store(values)
        self.k.barrier()
        half = team.threads // 2
        while half:
            with w.when(w.lt(w.index_value(self.lane), half)):
                store(fold.combine(w, load(self.thread), load(ix.add(self.thread, ix.const(half * stride)))))
            self.k.barrier()
            half //= 2
        values = load(ix.sub(self.thread, ix.mul(self.lane, stride)))
        self.k.barrier()  # before the next use of the same memory
        return values

    def buffer_of_threads(self, d: DType, i: int) -> str:
        """Shared memory for the i-th accumulator of every thread."""
        name = self.exchange.get((d, i))
        if name is None:
            name = self.exchange[d, i] = self.k.shared(d, self.team.threads * self.team.rows)
        return name

    def result(self, n: Node, values: tuple[Scalar, ...]) -> None:
        """Make the result of a reduction known: what it starts from, and all that was folded."""
        out, w, fold, types = n.outputs[0], self.w, fold_of(n), _types(n)
        start = tuple(w.const(v, d) for v, d in zip(fold.initial(types[0]), types))
        x = fold.across.combine(w, start, values)[fold.result]
        if fold.positions:  # none is better than what the fold starts from
            x = w.select(w.eq(x, highest(x.dtype)), w.const(0, x.dtype), x)
        x = convert(w, x, out.type.dtype)
        self.elements.known[out] = partial(_only_at, point_of(self.group, out, self.at), x)

    def store_rows(self) -> None:
        """Store the outputs that have one element for a row."""
        outputs = [v for v in self.group.outputs if v not in self.passes.full]
        once = self.once() if outputs else None
        if once is None:
            for v in outputs:
                self.store(v, self.at)
        else:
            with self.w.when(once):
                for v in outputs:
                    self.w.store(self.k.buffer(v, "w"), *self.element(v))

    def element(self, v: Value) -> tuple[Index, Scalar]:
        """Where an output has its element for the row, and that element."""
        idx = point_of(self.group, v, self.at)
        return linear(idx, v.type.shape), self.elements.at(v, idx)


class _Whole(_Kernel):
    """All passes over a row, by one team."""

    def body(self) -> None:
        passes, size = self.passes, self.team.rows * self.length
        self.kept: dict[Value, tuple[str, int]] = {}
        for at, k in self.s.kept:
            v = self.group.nodes[at].outputs[0]
            self.kept[v] = (self.k.shared(v.type.dtype, size), k)
        for k in range(passes.count):
            folds, outputs = passes.folds(k), passes.writes(k)
            accs = {n: self.declare(n) for n in folds}
            if folds or outputs or any(first == k for _, first in self.kept.values()):
                self.over(self.length, self.length, accs, partial(self.element_of_pass, k, outputs))
            for n in folds:
                self.result(n, self.combined(n, accs[n]))
        self.store_rows()

    def element_of_pass(self, k: int, outputs: list[Value], accs: Accs, i: Index) -> None:
        """What pass k does with one element of the row. What is kept is read by the thread that has written it."""
        w, known, at = self.w, self.elements.known, self.point(i)
        for v, (row, first) in self.kept.items():
            idx = point_of(self.group, v, at)
            where = ix.add(ix.mul(i, self.team.rows), self.place) if self.team.columns else ix.add(ix.mul(self.place, self.length), i)
            if first == k:
                w.store(row, where, self.elements.at(v, idx))
            elif first < k:
                known[v] = partial(_only_at, idx, w.load(row, where, v.type.dtype, pinned=True))
        for n, names in accs.items():
            self.accumulate(n, names, at)
        for v in outputs:
            self.store(v, at)


class _OfParts(_Kernel):
    """Half of a split reduction. results: the values in global memory that lie between the halves, one element for each part and row."""

    def __init__(
        self, group: Group, s: Rows, team: Team, check: Check, results: dict[Node, tuple[Value, ...]], parts: Dim
    ):  # fmt: skip
        super().__init__(group, s, team, check)
        self.results, self.parts = results, parts

    def slot(self, part: Index) -> Index:
        """Where the partial result of the row lies."""
        return ix.add(ix.mul(part, self.rows), self.row)


class _Parts(_OfParts):
    """Partial results: a part of a row to each team."""

    def __init__(self, *args: object):
        super().__init__(*args)  # type: ignore[arg-type]
        self.blocks_of_rows = self.parts

    def body(self) -> None:
        w, step = self.w, self.s.step
        accs = {n: self.declare(n) for n in self.results}
        base = ix.mul(self.part, step)

        def element(accs: Accs, i: Index) -> None:
            at = self.point(ix.add(base, i))
            for n, names in accs.items():
                self.accumulate(n, names, at)

        self.over(step, w.rest(self.part, step, self.length), accs, element)
        values = {n: self.combined(n, names) for n, names in accs.items()}
        once, slot = self.once(), self.slot(self.part)
        for n, results in self.results.items():
            for v, x in zip(results, values[n]):
                w.store(self.k.buffer(v, "w"), slot, x, once)


class _Combination(_OfParts):
    """The parts of a row together, and what follows from them."""

    def body(self) -> None:
        w = self.w
        accs = {n: self.declare(n) for n in self.results}

        def element(accs: Accs, part: Index) -> None:
            slot = self.slot(part)
            for n, names in accs.items():
                values = tuple(w.load(self.k.buffer(v, "r"), slot, v.type.dtype) for v in self.results[n])
                w.reduce(names, fold_of(n).across.name, values)

        self.every(self.parts, self.parts, 1, accs, element)
        for n, names in accs.items():
            self.result(n, self.combined(n, names))
        self.store_rows()


def _only_at(point: Point, x: Scalar, idx: Point) -> Scalar | None:
    """x at its own point; what is asked for elsewhere is unknown."""
    return x if idx == point else None
