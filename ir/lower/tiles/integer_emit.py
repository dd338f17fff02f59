"""Writing a tiled contraction of integers: B into panels, A into words where it needs a copy, then rows of A times panels.

Sums are exact: they have no order, and a tile runs over all of k at once. Where both factors are known to have 16 bits, two products
are one instruction.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.ir import dtypes
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.tiles.integer_schedule import Integers, channel
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.ops.form import Dims, form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import ceil_div, exactly, larger
from ingot.ir.types import Dim, tensor_type

__all__ = ["emit"]

Check = Callable[[Node], int]
LoadA = Callable[[Point, Point, Point], Scalar]  # a word of A for (batch, m, k)


def emit(group: Group, s: Integers, check: Check) -> list[Written]:
    """The kernel that packs B, and the one that multiplies."""
    f = form_of(group.nodes[0])
    panels = ceil_div(math.prod(f.n), s.columns)
    words = math.prod(f.batch[d] for d in f.b_batch) * panels * math.prod(_words(f.k, s)) * s.columns
    packed = Value(tensor_type(group.nodes[0].outputs[0].type.dtype, (words,)))
    return [_Packing(group, s, check, packed).run(), _Product(group, s, check, packed).run()]


def _words(k: Dims, s: Integers) -> Dims:
    """The dims of k, in words."""
    return tuple(ceil_div(d, 2) if j == s.pair else d for j, d in enumerate(k))


class _Kernel:
    """What both kernels need."""

    def __init__(self, name: str, group: Group, s: Integers, check: Check, packed: Value):
        self.group = group
        self.s = s
        self.k = GroupKernel(group, name, check)
        self.w: KernelWriter = self.k.w
        self.form = form_of(group.nodes[0])
        self.dtype = group.nodes[0].outputs[0].type.dtype
        self.n = math.prod(self.form.n)
        self.panels = ceil_div(self.n, s.columns)
        self.words = _words(self.form.k, s)
        self.packed = packed

    def place(self, batch: Index, panel: Index, k: Point, lane: Index) -> Index:
        """Where a packed word lies; `batch`: the flat index of B's batch dims."""
        line = ix.add(ix.mul(ix.add(ix.mul(batch, self.panels), panel), math.prod(self.words)), linear(k, self.words))
        return ix.add(ix.mul(line, self.s.columns), lane)

    def word(self, at: Callable[[Index], Scalar], k: Index, extent: Dim) -> Scalar:
        """The word of two neighbours along the paired dim, in 16 bits each, the first below; `at`: the element there."""
        w = self.w
        second = ix.add(ix.mul(k, 2), ix.const(1))
        there = None
        if not (isinstance(extent, int) and extent % 2 == 0):
            v = w.index_value(second)
            there = w.lt(v, extent)
            second = w.as_index(w.min(v, w.index_value(ix.const(extent - 1))))
        low, high = (w.cast(at(i), dtypes.i32) for i in (ix.mul(k, 2), second))
        if there is not None:
            high = w.select(there, high, 0)
        return w.bitcast(w.or_(w.and_(low, 0xFFFF), w.shl(high, 16)), self.dtype)


class _Packing(_Kernel):
    def __init__(self, group: Group, s: Integers, check: Check, packed: Value):
        super().__init__("pack", group, s, check, packed)
        self.name = self.k.buffer(packed, "w", noalias=True)

    def run(self) -> Written:
        f = self.form
        batch = tuple(f.batch[d] for d in f.b_batch)
        self.w.chunks(math.prod((*batch, self.panels, *self.words[:1])), self.s.pack, lambda i: self.line(i, batch))
        return self.k.finish(self.s)

    def line(self, i: Index, batch: Dims) -> None:
        """All but the first dim of k of one panel."""
        f, w, pair = self.form, self.w, self.s.pair
        elements = self.k.elements()
        *at, panel, k0 = delinear(i, (*batch, self.panels, *(self.words[:1] or (1,))), w.ranges)
        q = [ZERO] * len(f.batch)
        for d, x in zip(f.b_batch, at):
            q[d] = x
        with w.loop("vector", self.s.columns, self.s.columns, True) as v:
            n = ix.add(ix.mul(panel, self.s.columns), v)
            mask = None if exactly(self.n, self.s.columns) is not None else w.lt(w.index_value(n), self.n)
            column = delinear(n, f.n, w.ranges)

            def one(k: Point) -> None:
                def element(along: Index = ZERO) -> Scalar:
                    return f.b(elements, tuple(q), k if pair is None else (*k[:pair], along, *k[pair + 1 :]), column, mask)

                x = convert(w, element(), self.dtype) if pair is None else self.word(element, k[pair], f.k[pair])
                w.store(self.name, self.place(linear(tuple(at), batch), panel, k, v), x)

            w.over(self.words[1:], (k0,) if f.k else (), one)


class _Product(_Kernel):
    def __init__(self, group: Group, s: Integers, check: Check, packed: Value):
        super().__init__("integers", group, s, check, packed)
        self.name = self.k.buffer(packed, "r")
        self.m = math.prod(self.form.m)
        self.tiles = ceil_div(self.m, s.rows)

    def run(self) -> Written:
        s, w = self.s, self.w
        load = self.copied() if s.copy is not None else self.in_place()
        rows = ceil_div(self.tiles, s.group)
        items = math.prod(self.form.batch) * self.panels * rows
        with w.loop("parallel" if s.parallel else "serial", items) as i:
            *q, panel, first = delinear(i, (*self.form.batch, self.panels, rows), w.ranges)
            with w.loop("serial", w.rest(first, s.group, self.tiles)) as t:
                self.tile(tuple(q), ix.add(ix.mul(first, s.group), t), panel, load)
        return self.k.finish(s, twice=True, fixed=True)

    # -- rows of A ---------------------------------------------------------------------------------------------------

    def in_place(self) -> LoadA:
        elements = self.k.elements()
        return lambda q, m, k: convert(self.w, self.form.a(elements, q, m, k), self.dtype)

    def copied(self) -> LoadA:
        """A's value, set into zeros, is copied in words first."""
        f, w, lines = self.form, self.w, self.s.copy
        assert lines is not None
        at = None if self.s.pair is None else channel(f, self.s.pair)
        shape = tuple(ceil_div(d, 2) if i == at else d for i, d in enumerate(f.left_shape))
        scratch = w.scratch(self.dtype, larger(1, math.prod(shape)), "kernel")
        last = shape[-1] if shape else 1

        def line(i: Index) -> None:
            elements = self.k.elements()
            lead = delinear(i, shape[:-1], w.ranges)
            with w.loop("vector", last, lines.width, exactly(last, lines.width) is not None) as v:
                point = (*lead, v)

                def element(along: Index = ZERO) -> Scalar:
                    return f.among_zeros(elements, point if at is None else (*point[:at], along, *point[at + 1 :]))

                x = convert(w, element(), self.dtype) if at is None else self.word(element, point[at], f.left_shape[at])
                w.store(scratch, ix.add(ix.mul(i, last), v), x)

        w.chunks(math.prod(shape[:-1]), lines.chunk, line)
        return lambda q, m, k: w.load(scratch, linear(f.at_left(q, m, k), shape), self.dtype, pinned=True)

    # -- a tile ------------------------------------------------------------------------------------------------------

    def tile(self, q: Point, tile: Index, panel: Index, load: LoadA) -> None:
        """Some rows times a panel, in registers over all of k, and what follows."""
        f, w, s = self.form, self.w, self.s
        rows = []
        for r in range(s.rows):
            i = ix.add(ix.mul(tile, s.rows), ix.const(r))
            if exactly(self.m, s.rows) is None:
                i = w.as_index(w.min(w.index_value(i), w.index_value(ix.const(self.m - 1))))
            rows.append(delinear(i, f.m, w.ranges))
        batch = linear(tuple(q[d] for d in f.b_batch), tuple(f.batch[d] for d in f.b_batch))
        with w.loop("vector", s.columns, s.columns, True) as v:
            accs = [w.acc(self.dtype, 0) for _ in rows]

            def step(k: Point) -> None:
                b = w.load(self.name, self.place(batch, panel, k, v), self.dtype)
                for acc, m in zip(accs, rows):
                    a = load(q, m, k)
                    w.reduce((acc,), "sum", (w.mul(a, b) if s.pair is None else w.dot(a, b),))

            w.over(self.words, (), step)
            n = ix.add(ix.mul(panel, s.columns), v)
            mask = None if exactly(self.n, s.columns) is not None else w.lt(w.index_value(n), self.n)
            for acc, m in zip(accs, rows):
                self.finish(w.get_acc(acc, self.dtype), q, m, n, mask)

    def finish(self, x: Scalar, q: Point, m: Point, n: Index, mask: Scalar | None) -> None:
        """Apply what follows the contraction in its group, and store."""
        w, f = self.w, self.form
        elements = self.k.elements()
        point = f.out(q, m, delinear(n, f.n, w.ranges))
        elements.known[self.group.nodes[0].outputs[0]] = lambda idx: x
        for v in self.group.outputs:
            name = self.k.buffer(v, "w")
            idx = tuple(ZERO if a is None else point[a] for a in self.group.maps[v])
            w.store(name, self.group.offset(v, idx), elements.at(v, idx, mask), mask)
