"""Writing a tiled contraction whose factors are packed into words: B into panels, A where it needs a copy, then rows of A times panels.

Neighbours along k share a word of 32 bits, and one instruction multiplies and adds them: two of 16 bits, integers or bfloat16, or four
bytes, those of A without a sign: what is added to A's elements for that is taken off the sums again, times the column of B. Sums of
integers are exact: they have no order, and a tile runs over all of k at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

from ingot.ir import dtypes
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.cascade import Cascade, Steps
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.tiles.shape import coefficient
from ingot.ir.lower.tiles.words_schedule import Words, along_of, channel, halves, lying, shift_of
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.ops.form import Dims, form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import ceil_div, exactly, larger
from ingot.ir.types import Dim, tensor_type

__all__ = ["emit"]

Check = Callable[[Node], int]
LoadA = Callable[[Point, Point, Point], Scalar]  # a word of A for (batch, m, k)

ONES = 0x01010101


def emit(group: Group, s: Words, check: Check) -> list[Written]:
    """The kernel that packs B, and the one that multiplies."""
    out = group.nodes[0].outputs[0].type.dtype
    packed = Value(tensor_type(dtypes.f32 if halves(group) else out, (_Kernel("sizes", group, s, check, None).packed_size(),)))
    return [_Packing(group, s, check, packed).run(), _Product(group, s, check, packed).run()]


class _Kernel:
    """What both kernels need. `dtype`: of words and sums."""

    def __init__(self, name: str, group: Group, s: Words, check: Check, packed: Value | None):
        self.group = group
        self.s = s
        self.k = GroupKernel(group, name, check)
        self.w: KernelWriter = self.k.w
        self.form = f = form_of(group.nodes[0])
        self.halves = halves(group)
        self.dtype = dtypes.f32 if self.halves else group.nodes[0].outputs[0].type.dtype
        self.n = math.prod(f.n)
        self.panels = ceil_div(self.n, s.columns)
        self.along = None if s.many == 1 else along_of(group, s.many)
        self.shift = shift_of(group, s.many)
        self.words: Dims = tuple(ceil_div(d, s.many) if j == self.along else d for j, d in enumerate(f.k))
        self.b_batch = math.prod(f.batch[d] for d in f.b_batch)
        self.packed = packed

    def packed_size(self) -> Dim:
        """Elements of the packed B: words, and behind them what sums begin with, a line for each panel."""
        lines = math.prod(self.words) + (1 if self.shift else 0)
        return self.b_batch * self.panels * lines * self.s.columns

    def place(self, batch: Index, panel: Index, k: Point, lane: Index) -> Index:
        """Where a packed word lies; `batch`: the flat index of B's batch dims."""
        line = ix.add(ix.mul(ix.add(ix.mul(batch, self.panels), panel), math.prod(self.words)), linear(k, self.words))
        return ix.add(ix.mul(line, self.s.columns), lane)

    def beginning(self, batch: Index, panel: Index, lane: Index) -> Index:
        """Where the word lies that a sum begins with."""
        line = ix.add(ix.add(ix.mul(batch, self.panels), panel), ix.const(self.b_batch * self.panels * math.prod(self.words)))
        return ix.add(ix.mul(line, self.s.columns), lane)

    def word(self, at: Callable[[Index], Scalar], k: Index, extent: Dim) -> Scalar:
        """The word of neighbours along a dim, the first the lowest, zeros behind its end; `at`: the element there."""
        w, many = self.w, self.s.many
        bits, out = 32 // many, None
        for j in range(many):
            i = ix.add(ix.mul(k, many), ix.const(j))
            there = None
            if j and exactly(extent, many) is None:
                v = w.index_value(i)
                there = w.lt(v, extent)
                i = w.as_index(w.min(v, w.index_value(ix.const(extent - 1))))
            x = at(i)
            x = w.cast(w.bitcast(x, dtypes.u16) if self.halves else x, dtypes.i32)
            if there is not None:
                x = w.select(there, x, 0)
            x = x if j == many - 1 else w.and_(x, (1 << bits) - 1)
            x = w.shl(x, bits * j) if j else x
            out = x if out is None else w.or_(out, x)
        assert out is not None
        return w.bitcast(out, self.dtype)


class _Packing(_Kernel):
    def __init__(self, group: Group, s: Words, check: Check, packed: Value):
        super().__init__("pack", group, s, check, packed)
        self.name = self.k.buffer(packed, "w", noalias=True)

    def run(self) -> Written:
        f, w = self.form, self.w
        batch = tuple(f.batch[d] for d in f.b_batch)
        w.chunks(math.prod((*batch, self.panels, *self.words[:1])), self.s.pack, lambda i: self.line(i, batch))
        if self.shift:
            self.k.buffer(self.packed, "r", noalias=True)  # type: ignore[arg-type]
            w.chunks(math.prod((*batch, self.panels)), max(1, self.s.pack // 8), lambda i: self.beginnings(i))
        return self.k.finish(self.s)

    def line(self, i: Index, batch: Dims) -> None:
        """All but the first dim of k of one panel."""
        f, w, along = self.form, self.w, self.along
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
                def element(i: Index = ZERO) -> Scalar:
                    return f.b(elements, tuple(q), k if along is None else (*k[:along], i, *k[along + 1 :]), column, mask)

                x = convert(w, element(), self.dtype) if along is None else self.word(element, k[along], f.k[along])
                w.store(self.name, self.place(linear(tuple(at), batch), panel, k, v), x)

            w.over(self.words[1:], (k0,) if f.k else (), one)

    def beginnings(self, i: Index) -> None:
        """What the sums of a panel begin with: what was added to A, times the sum of a column."""
        w = self.w
        batch, panel = delinear(i, (self.b_batch, self.panels), w.ranges)
        with w.loop("vector", self.s.columns, self.s.columns, True) as v:
            total = w.acc(self.dtype, 0)

            def one(k: Point) -> None:
                x = w.bitcast(w.load(self.name, self.place(batch, panel, k, v), self.dtype, pinned=True), dtypes.i32)
                old = w.bitcast(w.get_acc(total, self.dtype), dtypes.i32)
                w.set_acc(total, w.bitcast(w.dot_bytes(w.const(ONES, dtypes.i32), x, old), self.dtype))

            w.over(self.words, (), one)
            taken = w.mul(w.bitcast(w.get_acc(total, self.dtype), dtypes.i32), -self.shift)
            w.store(self.name, self.beginning(batch, panel, v), w.bitcast(taken, self.dtype))


class _Product(_Kernel):
    def __init__(self, group: Group, s: Words, check: Check, packed: Value):
        super().__init__("words", group, s, check, packed)
        self.name = self.k.buffer(packed, "r")
        self.m = math.prod(self.form.m)
        self.tiles = ceil_div(self.m, s.rows)

    def run(self) -> Written:
        s, w = self.s, self.w
        load = self.load()
        rows = ceil_div(self.tiles, s.group)
        items = math.prod(self.form.batch) * self.panels * rows
        with w.loop("parallel" if s.parallel else "serial", items) as i:
            *q, panel, first = delinear(i, (*self.form.batch, self.panels, rows), w.ranges)
            with w.loop("serial", w.rest(first, s.group, self.tiles)) as t:
                self.tile(tuple(q), ix.add(ix.mul(first, s.group), t), panel, load)
        return self.k.finish(s, twice=True, fixed=True)

    # -- rows of A ---------------------------------------------------------------------------------------------------

    def load(self) -> LoadA:
        f, along = self.form, self.along
        if self.s.copy is None:
            return self.elements_in_place() if along is None else self.words_in_place()
        if along is not None and f.zeros is None and channel(f, along) == f.left.type.rank - 1:
            return self.elements_copied(along)
        return self.words_copied()

    def elements_in_place(self) -> LoadA:
        elements = self.k.elements()
        return lambda q, m, k: convert(self.w, self.form.a(elements, q, m, k), self.dtype)

    def words_in_place(self) -> LoadA:
        """The elements of a word lie together."""
        found = lying(self.group, self.s.many)
        assert found is not None
        buf, where, many, along = self.k.buffer(found.value, "r"), found.where, self.s.many, self.along

        def load(q: Point, m: Point, k: Point) -> Scalar:
            point = {f"{name}{j}": x for name, p in (("q", q), ("m", m), ("k", k)) for j, x in enumerate(p)}
            point[f"k{along}"] = ix.mul(point[f"k{along}"], many)
            terms = (ix.mul(x, coefficient(where, name)) for name, x in point.items())
            return self.w.load_word(buf, reduce(ix.add, terms, Index(where.const, ())), self.dtype)

        return load

    def elements_copied(self, along: int) -> LoadA:
        """A is copied as narrow elements, those along a dim of k together, with zeros behind its end, so that its words lie there."""
        f, w, s, lines = self.form, self.w, self.s, self.s.copy
        assert lines is not None
        narrow = dtypes.bf16 if self.halves else dtypes.i16 if s.many == 2 else dtypes.u8
        others = tuple(d for j, d in enumerate(f.k) if j != along)
        extent, padded = f.k[along], self.words[along] * s.many
        shape = (*f.batch, *f.m, *others, padded)
        scratch = w.scratch(narrow, larger(1, math.prod(shape)), "kernel")
        nb, nm = len(f.batch), len(f.m)

        def at(lead: Point, i: Index) -> Point:
            k = lead[nb + nm :]
            return (*k[:along], i, *k[along:])

        def line(i: Index) -> None:
            elements = self.k.elements()
            lead = delinear(i, shape[:-1], w.ranges)
            with w.loop("vector", extent, lines.width, exactly(extent, lines.width) is not None) as v:
                x = f.a(elements, lead[:nb], lead[nb : nb + nm], at(lead, v))
                if not self.halves:
                    x = w.cast(w.add(w.cast(x, dtypes.i32), self.shift) if self.shift else x, narrow)
                w.store(scratch, ix.add(ix.mul(i, padded), v), x)
            if exactly(extent, s.many) is None:
                with w.loop("serial", padded - extent) as rest:
                    w.store(scratch, ix.add(ix.add(ix.mul(i, padded), ix.const(extent)), rest), w.const(0, narrow))

        w.chunks(math.prod(shape[:-1]), lines.chunk, line)

        def load(q: Point, m: Point, k: Point) -> Scalar:
            lead = (*q, *m, *(x for j, x in enumerate(k) if j != along))
            return w.load_word(scratch, linear((*lead, ix.mul(k[along], s.many)), shape), self.dtype, pinned=True)

        return load

    def words_copied(self) -> LoadA:
        """A's value, set into zeros, is copied in words first."""
        f, w, lines = self.form, self.w, self.s.copy
        assert lines is not None
        at = None if self.along is None else channel(f, self.along)
        shape = tuple(ceil_div(d, self.s.many) if i == at else d for i, d in enumerate(f.left_shape))
        scratch = w.scratch(self.dtype, larger(1, math.prod(shape)), "kernel")
        last = shape[-1] if shape else 1

        def line(i: Index) -> None:
            elements = self.k.elements()
            lead = delinear(i, shape[:-1], w.ranges)
            with w.loop("vector", last, lines.width, exactly(last, lines.width) is not None) as v:
                point = (*lead, v)

                def element(along: Index = ZERO) -> Scalar:
                    x = f.among_zeros(elements, point if at is None else (*point[:at], along, *point[at + 1 :]))
                    return w.add(w.cast(x, dtypes.i32), self.shift) if self.shift else x

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

            def fresh() -> list[str]:
                return [w.acc(self.dtype, 0) for _ in rows]

            def add(accs: list[str], part: list[str]) -> None:
                for acc, a in zip(accs, part):
                    w.reduce((acc,), "sum", (w.get_acc(a, self.dtype),))

            def step(accs: list[str], k: Point) -> None:
                b = w.load(self.name, self.place(batch, panel, k, v), self.dtype)
                for acc, m in zip(accs, rows):
                    self.fold(acc, load(q, m, k), b)

            accs = fresh()
            if self.shift:
                begin = w.load(self.name, self.beginning(batch, panel, v), self.dtype)
                for acc in accs:
                    w.set_acc(acc, begin)
            Cascade(w, s.run, fresh, add).over([Steps(d) for d in self.words], accs, step)
            n = ix.add(ix.mul(panel, s.columns), v)
            mask = None if exactly(self.n, s.columns) is not None else w.lt(w.index_value(n), self.n)
            for acc, m in zip(accs, rows):
                self.finish(w.get_acc(acc, self.dtype), q, m, n, mask)

    def fold(self, acc: str, a: Scalar, b: Scalar) -> None:
        """Add the products of a word of A and one of B to a sum."""
        w, many = self.w, self.s.many
        if self.halves:
            w.set_acc(acc, w.dot_halves(a, b, w.get_acc(acc, self.dtype)))
        elif many == 4:
            a, b, old = (w.bitcast(x, dtypes.i32) for x in (a, b, w.get_acc(acc, self.dtype)))
            w.set_acc(acc, w.bitcast(w.dot_bytes(a, b, old), self.dtype))
        else:
            pair = None if many == 1 else w.dot(w.bitcast(a, dtypes.i32), w.bitcast(b, dtypes.i32))
            w.reduce((acc,), "sum", (w.mul(a, b) if pair is None else w.bitcast(pair, self.dtype),))

    def finish(self, x: Scalar, q: Point, m: Point, n: Index, mask: Scalar | None) -> None:
        """Apply what follows the contraction in its group, and store."""
        w, f = self.w, self.form
        point = f.out(q, m, delinear(n, f.n, w.ranges))
        self.k.store(convert(w, x, self.group.nodes[0].outputs[0].type.dtype), point, mask)
