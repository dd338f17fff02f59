"""The kernel of attention: see attention.py."""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.backends.cuda.attention import Attention, tiles_of
from ingot.backends.cuda.attention_operands import AttentionOperands, Coming, Element, one, other_dims
from ingot.backends.cuda.block_kernel import BlockKernel
from ingot.backends.cuda.matrix_tiles import Operand, Place, Rows
from ingot.backends.cuda.word_tiles import WordTiles
from ingot.ir import dtypes
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.attention import Softmax, matrix_side, power, score_of
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import at_most, ceil_div, exactly
from ingot.ir.types import Dim

__all__ = ["emit"]


def emit(group: Group, s: Attention, check: Callable[[Node], int]) -> list[Written]:
    """The kernel; none where there are no elements."""
    if any(0 in v.type.shape for v in group.outputs):
        return []
    return [_Emission(group, s, check).written()]


class _Emission(AttentionOperands):
    def __init__(self, group: Group, s: Attention, check: Callable[[Node], int]):
        super().__init__(group)
        self.s = s
        (node,) = group.nodes
        self.results = dict(zip(self.body.outputs, node.outputs))
        self.k = BlockKernel(group, "attention", check)
        self.w = self.k.w
        self.tiles = tiles_of(group, s)

    # -- operands ----------------------------------------------------------------------------------------------------

    def operand(self, q: Point, element: Element, line: Index, lines: Dim,
                step: Index, steps: Dim, whole: tuple[int, int]) -> Operand:  # fmt: skip
        """An operand in tiles: of its last line where there is no such line, 0 where steps have ended."""
        w, inner, dtype = self.w, self.inner, self.tiles.dtype

        def at(i: Index, k: Index) -> Scalar:
            i, _ = self.k.clamped(ix.add(line, i), lines, exactly(lines, whole[0]) is not None)
            k, there = self.k.clamped(ix.add(step, k), steps, exactly(steps, whole[1]) is not None)
            x = element(inner, q, i, k)
            return x if there is None else w.select(there, x, w.const(0, dtype))

        return Operand(at, self.along(element))

    def send(self, base: Index, slot: Index) -> None:
        """Send for the operands of the tile that begins at `base`."""
        w, t = self.w, self.tiles
        bn = self.s.tile[1]
        spans = [*((bn, d) for d in t.depths), *((width, bn) for width in t.widths)]
        for which, (o, most) in enumerate(zip(self.sent, spans)):
            if self.s.first[which] != which:
                continue

            def place(i: Index, k: Index, o: Coming = o, most: tuple[int, int] = most) -> Place:
                assert o.lies is not None
                i, k = (ix.add(base, i), k) if o.scores else (i, ix.add(base, k))
                mask = None
                for x, d, b in ((i, o.lines, most[0]), (k, o.steps, most[1])):
                    if exactly(d, b) is None:
                        inside = w.lt(w.index_value(x), d)
                        mask = inside if mask is None else w.and_(mask, inside)
                return self.k.buffer(o.lies.value, "r"), o.lies.at({"q": self.q, "m": (i,), "k": (k,)}, w.ranges), mask

            t.copy(which, slot, place)

    # -- the kernel --------------------------------------------------------------------------------------------------

    def written(self) -> Written:
        """The kernel."""
        s, w, k, parts, t = self.s, self.w, self.k, self.parts, self.tiles
        bm, bn = s.tile
        tiles, steps = ceil_div(self.kept, bm), ceil_div(self.passing, bn)
        t.allocate(k, dtypes.u32 if isinstance(t, WordTiles) else dtypes.f32)
        with k.grid(tiles * math.prod(parts.batch), s.threads) as (g, thread):
            tile = ix.mod(g, tiles, w.ranges)
            self.q = q = delinear(ix.div(g, tiles, w.ranges), parts.batch, w.ranges)
            if s.diagonal and parts.rows:  # those with most to do come first
                tile = ix.sub(ix.const(tiles - 1), tile)
            t.begin(thread)
            self.first = ix.mul(tile, bm)
            self.own = [k.clamped(ix.add(self.first, r), self.kept, exactly(self.kept, bm) is not None) for r in t.rows]
            self.inner = self.inside(k)
            begin, count = self.span(steps)
            for name, n, depth in zip(t.kept, parts.scores, t.depths):
                d = one(form_of(n).k)
                t.put(name, bm, depth, self.operand(q, self.side(n, parts.rows), self.first, self.kept, ZERO, d, (bm, depth)))
            self.sums = [t.sums(width) for width in t.widths]
            self.folded = [[w.acc(dtypes.f32, 0) for _ in t.rows] for _ in parts.folds]
            if parts.softmax is not None:
                self.tops = [w.acc(dtypes.f32, -math.inf) for _ in t.rows]
                self.totals = [w.acc(dtypes.f32, 0) for _ in t.rows]
            self.pass_by(begin, count, steps)
            self.finish()
        return k.finish(s, twice=True, fixed=True)

    def pass_by(self, begin: Index, count: Index | Dim, steps: Dim) -> None:
        """All tiles from `begin` on, at most `steps`; what comes by a tile ahead, if it is copied."""
        w, k, bn = self.w, self.k, self.s.tile[1]
        end = w.index_value(count if isinstance(count, Index) else ix.const(count))
        copied = bool(self.s.turned)
        if copied:
            self.sent = self.passing_operands()
            with w.when(w.gt(end, 0)):
                self.send(ix.mul(begin, bn), ZERO)
            w.commit()
        with w.loop("serial", count, most=steps if isinstance(count, Index) else None) as step:
            here = ix.mod(step, 2, w.ranges)
            if copied:
                following = ix.add(step, ix.const(1))
                with w.when(w.lt(w.index_value(following), end)):
                    self.send(ix.mul(ix.add(begin, following), bn), ix.sub(ix.const(1), here))
                w.commit()
                w.wait(1)
                k.barrier()
            self.step(ix.mul(ix.add(begin, step), bn), here)
            if copied:
                k.barrier()

    def span(self, steps: Dim) -> tuple[Index, Index | Dim]:
        """The first of a block's tiles, and how many there are."""
        w, (bm, bn) = self.w, self.s.tile
        if not self.s.diagonal:
            return ZERO, steps
        if self.parts.rows:
            last = w.index_value(ix.div(ix.add(self.first, ix.const(bm + bn - 1)), bn, w.ranges))
            return ZERO, w.as_index(w.min(last, w.index_value(ix.const(steps))))
        begin = ix.div(self.first, bn, w.ranges)
        return begin, w.as_index(w.max(w.index_value(ix.sub(ix.const(steps), begin)), 0))

    def step(self, base: Index, slot: Index) -> None:
        """A tile: its elements, what they are folded into, and what they are factors of."""
        w, k, parts, t, bn = self.w, self.k, self.parts, self.tiles, self.s.tile[1]
        copied = bool(self.s.turned)
        scores = []
        for which, n in enumerate(parts.scores):
            d = one(form_of(n).k)
            if not copied:
                other = self.operand(self.q, self.side(n, not parts.rows), base, self.passing, ZERO, d, (bn, t.depths[which]))
                t.put(t.passing, bn, t.depths[which], other)
                k.barrier()
            sums = t.sums(bn)
            t.score(which, sums, slot)
            if not copied:
                k.barrier()
            scores.append([[w.get_acc(x, dtypes.f32) for x in row] for row in sums])
        self.columns = [k.clamped(ix.add(base, c), self.passing, exactly(self.passing, bn) is not None) for c in t.columns(bn, True)]
        self.scores = scores
        if parts.softmax is not None:
            self.run_along(parts.softmax)
        for accs, n in zip(self.folded, parts.folds):
            for acc, row in zip(accs, self.values(n.inputs[0], 0.0)):
                for x in row:
                    w.reduce((acc,), "sum", (x,))
        for which, (n, sums, width) in enumerate(zip(parts.products, self.sums, t.widths)):
            side = matrix_side(self.body, n)
            left = t.factors(self.values(n.inputs[side], 0.0))
            if not copied:
                (columns,) = other_dims(self.body, n)
                other = self.operand(self.q, self.side(n, side == 1), ZERO, columns, base, self.passing, (width, bn))
                t.put(t.passing, width, bn, other)
                k.barrier()
            t.product(which, left, sums, slot)
            if not copied:
                k.barrier()

    def values(self, v: Value, nothing: float) -> Rows:
        """The thread's elements of a value; `nothing` where there is no such element."""
        w = self.w
        out = []
        for r, (i, _) in enumerate(self.own):
            row = []
            for c, (j, there) in enumerate(self.columns):
                for n, scores in zip(self.parts.scores, self.scores):
                    self.element[score_of(self.body, n)] = self.as_score(n, scores[r][c])
                if self.parts.softmax is not None:
                    self.assume(self.parts.softmax, r, c)
                x = self.inner.at(v, (*self.q, i, j) if self.parts.rows else (*self.q, j, i))
                row.append(x if there is None else w.select(there, x, w.const(nothing, x.dtype)))
            out.append(row)
        return out

    def as_score(self, n: Node, x: Scalar) -> Scalar:
        return convert(self.w, x, score_of(self.body, n).type.dtype)

    # -- softmax -----------------------------------------------------------------------------------------------------

    def assume(self, s: Softmax, r: int, c: int) -> None:
        """What is known of an element on the way."""
        w = self.w
        self.element[s.total] = w.const(1.0, dtypes.f32)
        if s.dead is not None:
            self.element[s.dead] = w.const(False, dtypes.bool_)
        if self.powers:
            self.element[s.e] = self.powers[r][c]

    powers: Rows = []

    def run_along(self, s: Softmax) -> None:
        """Maxima and sums of rows with another tile; what was summed up before is scaled."""
        w = self.w
        self.powers = []
        xs = self.values(s.scores, -math.inf)
        powers = []
        for r, row in enumerate(xs):
            top = row[0]
            for x in row[1:]:
                top = w.max(top, x)
            before = w.get_acc(self.tops[r], dtypes.f32)
            top = w.max(before, self.across(top, w.max))
            w.set_acc(self.tops[r], top)
            zero = w.const(0.0, dtypes.f32)
            level = w.select(w.eq(top, -math.inf), zero, top)  # where nothing was found yet all powers are 0
            scale = power(w, self.body, s, before, level)
            powers.append([power(w, self.body, s, x, level) for x in row])
            total = powers[r][0]
            for x in powers[r][1:]:
                total = w.add(total, x)
            w.set_acc(self.totals[r], w.fma(w.get_acc(self.totals[r], dtypes.f32), scale, total))
            for sums in self.sums:
                for acc in sums[r]:
                    w.set_acc(acc, w.mul(w.get_acc(acc, dtypes.f32), scale))
        self.powers = powers

    def across(self, x: Scalar, combine: Callable[[Scalar, Scalar], Scalar]) -> Scalar:
        """What the threads of a row make of what each has."""
        for lanes in self.tiles.lanes:
            x = combine(x, self.w.shuffle(x, lanes))
        return x

    # -- results -----------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Store what the block has made."""
        w, parts, t = self.w, self.parts, self.tiles
        softmax = parts.softmax
        tops = totals = shares = []
        if softmax is not None:
            tops = [w.get_acc(x, dtypes.f32) for x in self.tops]
            totals = [self.across(w.get_acc(x, dtypes.f32), w.add) for x in self.totals]
            shares = [w.div(w.const(1.0, dtypes.f32), x) for x in totals]
        zero = w.const(0.0, dtypes.f32)
        for n, sums, width in zip(parts.products, self.sums, t.widths):
            side = matrix_side(self.body, n)
            f, (columns,) = form_of(n), other_dims(self.body, n)
            for r, ((i, there), row) in enumerate(zip(self.own, sums)):
                for c, acc in zip(t.columns(width), row):
                    x = w.get_acc(acc, dtypes.f32)
                    if softmax is not None:
                        x = w.mul(x, shares[r])
                        empty = self.nothing(softmax, tops[r])
                        x = x if empty is None else w.select(empty, zero, x)
                    mask = there
                    if exactly(columns, width) is None:
                        inside = w.lt(w.index_value(c), columns)
                        mask = inside if mask is None else w.and_(mask, inside)
                    self.store(n.outputs[0], f.out(self.q, (c,), (i,)) if side else f.out(self.q, (i,), (c,)), x, mask)
        for n, accs in zip(parts.folds, self.folded):
            self.rows(n.outputs[0], [self.across(w.get_acc(x, dtypes.f32), w.add) for x in accs])
        if softmax is None:
            return
        dead = [w.eq(x, -math.inf) for x in tops]
        if softmax.dead is not None:  # its elements are taken to be 0
            count = w.cast(w.index_value(ix.const(self.passing)), dtypes.f32)
            tops = [w.select(d, zero, x) for d, x in zip(dead, tops)]
            totals = [w.select(d, count, x) for d, x in zip(dead, totals)]
        for v, xs in ((softmax.top, tops), (softmax.total, totals), (softmax.dead, dead)):
            if v is not None and v in self.results:
                self.rows(v, xs)

    def nothing(self, s: Softmax, top: Scalar) -> Scalar | None:
        """Whether a row's results are 0 whatever was summed up: a dead row's are, and those of no columns."""
        w = self.w
        none = None if at_most(1, self.passing) else w.le(w.index_value(ix.const(self.passing)), 0)
        if s.dead is None:
            return none
        dead = w.eq(top, -math.inf)
        return dead if none is None else w.or_(dead, none)

    def rows(self, v: Value, xs: list[Scalar]) -> None:
        """Store a number for each row, one of the threads that share it."""
        w = self.w
        first = w.eq(w.index_value(self.tiles.first), 0)
        for (i, there), x in zip(self.own, xs):
            self.store(v, (*self.q, i, ZERO), x, first if there is None else w.and_(first, there))

    def store(self, v: Value, point: Point, x: Scalar, mask: Scalar | None) -> None:
        out = self.results.get(v)
        if out is not None and out in self.group.outputs:
            self.w.store(self.k.buffer(out, "w"), linear(point, out.type.shape), convert(self.w, x, out.type.dtype), mask)
