"""Products of a few rows with a matrix whose rows lie in memory: the matrix is read once, line after line.

Sums of all columns in registers would take a piece of every row at a time, each from another page: memory then gives a third of what it
can. Instead some rows of the matrix are added, scaled, to a line of sums that stays in the first cache, as far as they are a block of
columns long. Parts of k have sums of their own, so that workers share them and roundings do not add up; a second phase adds the parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

from ingot.ir.dtypes import DType
from ingot.ir.facts import Contraction, Elementwise
from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index, Var
from ingot.ir.loop.folds import SUM
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.cascade import Cascade, Steps, run_of
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.lower.writer import Scalar
from ingot.ir.lower.written_load import written_load
from ingot.ir.machine import Machine
from ingot.ir.ops.form import Form, form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import ceil_div, exactly, larger
from ingot.ir.struct import replace, value_type
from ingot.ir.types import Dim

__all__ = ["FewRows", "choose", "emit"]

MOST = 8  # rows of A
STEP = 8  # rows of B that are added at once: so many streams of memory
PART, LONGEST = 256, 384  # rows of B in a part, for one row of A and at most
NEAR = 4  # rows of A, up to which that pays where B is in the last cache; beyond, where it is not
FEWEST = 512  # columns
# columns, rows and elements of B from which on it is better than going through narrow pieces of rows, or all of them for each row of A
NARROW, SHALLOW, SMALL = 32, 16, 8192


@value_type
class FewRows(Schedule):
    """A few rows times a matrix, row by row of it.

    width    lanes of a vector
    step     rows of B that are added to the sums at once
    part     rows of B whose sums are added up on their own
    block    columns of an item, a power of two
    combine  columns of a parallel chunk of the second phase, likewise
    run      parts that are added up on their own, where their sum is a cascade; 0: all are one run
    """

    width: int
    step: int
    part: int
    block: int
    combine: int
    run: int = 0

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.width)
        at_least_one(step=self.step, part=self.part, block=self.block, combine=self.combine)
        lanes(self.block)
        lanes(self.combine)
        if self.run < 0 or not self.width <= self.combine <= self.block:
            raise ScheduleError(f"{self}: columns of vectors, pieces and blocks that are not within each other")
        if not fits(group):
            raise ScheduleError(f"{self}: no rows of a matrix that lie in memory ({group})")


def fits(group: Group) -> bool:
    """Whether a group is a product of a known number of rows with a matrix whose rows lie in memory, and what follows it at each point."""
    node, *rest = group.nodes
    if not isinstance(node.op.lowering, Contraction) or node.outputs[0].type.dtype.kind != "f":
        return False
    if group.reduced or not all(isinstance(n.op.lowering, Elementwise) for n in rest):
        return False
    if any(a not in (None, d) for m in group.maps.values() for d, a in enumerate(m)):
        return False
    f = product_of(node)
    if f.zeros is not None or f.overlapping or not isinstance(math.prod(f.m), int):
        return False
    if len([d for d in f.k if d != 1]) != 1:
        return False
    found = written_load(group, {"q": f.batch, "k": f.k, "n": f.n}, f.b)
    if found is None or not found.cast:
        return False
    index = found.load.index
    wide = [(ix.coefficient(index, f"n{j}"), d) for j, d in enumerate(f.n) if d != 1]
    together = bool(wide) and wide[-1][0] == 1 and all(outer == d * inner for (outer, _), (inner, d) in pairwise(wide))
    return together and all(isinstance(atom, Var) for atom, _ in index.terms)


def product_of(node: Node) -> Form:
    """The form of a contraction; of a 1 x 1 convolution whose result has few channels that of its weight times its input: a tile would have
    hardly any columns."""
    f = form_of(node)
    if not f.overlapping or f.zeros is not None or len(f.n) != 1 or assumed(f.n[0]) > MOST or any(d != 1 for d in f.k[:-1]):
        return f
    first, rows = len(f.batch), len(f.m)
    at = (*range(first), *(first + 1 + j for j in range(rows)), first)  # of each loop, with columns in front of rows
    return replace(
        f, m=f.n, n=f.m, left=f.right, at_left=lambda q, m, k: f.at_right(q, k, m), right=f.left,
        at_right=lambda q, k, n: f.at_left(q, n, k), dims=tuple(tuple(at[i] for i in d) for d in f.dims),
        b_batch=tuple(range(first)), order=(), overlapping=False,
    )  # fmt: skip


def choose(group: Group, machine: Machine) -> FewRows | None:
    """The schedule of a few rows times a large matrix that is read by rows; None for all else."""
    node = group.nodes[0]
    if not isinstance(node.op.lowering, Contraction):
        return None
    f = product_of(node)
    m, n, k, batch = (assumed(math.prod(dims)) for dims in (f.m, f.n, f.k, f.batch))
    large = n * k * f.right.type.dtype.itemsize >= (2 * machine.cache_bytes[1] if m <= NEAR else machine.cache_bytes[2])
    instead = m < 4 and (m > 1 or n < FEWEST or k < PART or f.left is not form_of(node).left)  # of no register tiles
    pays = instead and n >= NARROW and k >= SHALLOW and n * k >= SMALL or large and n >= FEWEST and k >= PART
    if not 1 <= m <= MOST or not pays or not fits(group):
        return None
    (dtype,) = SUM.accumulators(node.outputs[0].type.dtype)
    part = min(PART * m, LONGEST)
    parts = -(-k // part)
    part = -(-k // (parts * STEP)) * STEP
    width = combine = machine.lanes(dtype.bits)
    block = max(width, min(FEWEST, 1 << (n - 1).bit_length()))  # a power of two of columns, whose sums are half of the first cache
    while 2 * block * m * dtype.itemsize <= machine.cache_bytes[0] // 2 and block < n:
        block *= 2
    while block > FEWEST and batch * parts * -(-n // block) < machine.workers // 2:
        block //= 2
    while combine < block and 2 * combine * m * parts <= machine.chunk_elements:
        combine *= 2
    return FewRows(width, STEP, part, block, combine, run_of(parts))


def emit(group: Group, s: FewRows, check: Callable[[Node], int]) -> list[Written]:
    """The kernel of a few rows times a matrix."""
    return [_Emission(group, s, check).run()]


class _Emission:
    def __init__(self, group: Group, s: FewRows, check: Callable[[Node], int]):
        self.group = group
        self.s = s
        self.k = GroupKernel(group, "few_rows", check)
        self.w = self.k.w
        self.form = f = product_of(group.nodes[0])
        self.dtype: DType = SUM.accumulators(group.nodes[0].outputs[0].type.dtype)[0]
        self.rows = math.prod(f.m)
        self.n, self.steps, self.batch = math.prod(f.n), math.prod(f.k), math.prod(f.batch)
        self.parts = ceil_div(self.steps, s.part)
        self.blocks = ceil_div(self.n, s.block)
        self.sums = self.w.scratch(self.dtype, larger(1, self.batch * self.parts * self.blocks * s.block * self.rows), "kernel")

    def run(self) -> Written:
        w, s = self.w, self.s
        with w.loop("parallel", self.batch * self.parts * self.blocks) as i:
            q, part, block = delinear(i, (self.batch, self.parts, self.blocks), w.ranges)
            self.part(q, part, block)
        pieces = ceil_div(self.n, s.combine)
        with w.loop("parallel", self.batch * pieces) as i:
            self.combine(*delinear(i, (self.batch, pieces), w.ranges))
        return self.k.finish(s)

    def place(self, q: Index, part: Index, block: Index, r: Index, column: Index, first: Index = ZERO) -> Index:
        """Where a sum of a part lies in scratch, of a block's columns first + column: those of all rows together, a vector of each, so
        that they do not meet in the same sets of the caches."""
        width, rows = self.s.width, self.rows
        at = ix.mul(ix.add(ix.mul(linear((q, part, block), (self.batch, self.parts, self.blocks)), self.s.block), first), rows)
        step, lane = ix.div(column, width, self.w.ranges), ix.mod(column, width, self.w.ranges)
        return ix.add(at, ix.add(ix.mul(ix.add(ix.mul(step, rows), r), width), lane))

    def columns(self, count: Index | Dim, body: Callable[[Index], None]) -> None:
        """`body` for some columns, by vectors."""
        exact = not isinstance(count, Index) and exactly(count, self.s.width) is not None
        with self.w.loop("vector", count, self.s.width, exact, None if not isinstance(count, Index) else self.s.block) as v:
            body(v)

    def part(self, q: Index, part: Index, block: Index) -> None:
        """The sums of a part of k, for a block of columns."""
        w, s = self.w, self.s
        columns, steps = w.rest(block, s.block, self.n), w.rest(part, s.part, self.steps)
        zero = w.const(0, self.dtype)

        def clear(v: Index) -> None:
            for r in range(self.rows):
                w.store(self.sums, self.place(q, part, block, ix.const(r), v), zero)

        self.columns(columns, clear)
        count = steps if isinstance(steps, Index) else ix.const(steps)
        whole = ix.div(count, s.step)
        base, done = ix.mul(part, s.part), ix.mul(whole, s.step)
        with w.loop("serial", whole, most=ceil_div(s.part, s.step)) as g:
            self.add(q, part, block, ix.add(base, ix.mul(g, s.step)), s.step, columns)
        left = ix.sub(count, done)
        if left.terms or left.const:
            with w.loop("serial", left, most=s.step - 1) as i:
                self.add(q, part, block, ix.add(ix.add(base, done), i), 1, columns)

    def add(self, q: Index, part: Index, block: Index, step: Index, count: int, columns: Index | Dim) -> None:
        """Add so many rows of B, scaled, to the sums of a block."""
        w, f = self.w, self.form
        elements = self.k.elements()
        batch = delinear(q, f.batch, w.ranges)
        steps = [delinear(ix.add(step, ix.const(j)), f.k, w.ranges) for j in range(count)]

        def column(v: Index) -> None:
            at = delinear(ix.add(ix.mul(block, self.s.block), v), f.n, w.ranges)
            right = [w.cast(f.b(elements, batch, k, at), self.dtype) for k in steps]
            for r in map(ix.const, range(self.rows)):
                m, to = delinear(r, f.m, w.ranges), self.place(q, part, block, r, v)
                x = w.load(self.sums, to, self.dtype, pinned=True)
                for k, b in zip(steps, right):
                    x = w.fma(w.cast(f.a(elements, batch, m, k), self.dtype), b, x)
                w.store(self.sums, to, x)

        self.columns(columns, column)

    def combine(self, q: Index, piece: Index) -> None:
        """Add the parts, and apply what follows."""
        w, f, s = self.w, self.form, self.s
        out = self.group.nodes[0].outputs[0]
        fan = s.block // s.combine
        block, first = ix.div(piece, fan, w.ranges), ix.mul(ix.mod(piece, fan, w.ranges), s.combine)

        def column(v: Index) -> None:
            for r in map(ix.const, range(self.rows)):
                acc = self.total(q, block, r, v, first)
                result: Scalar = convert(w, w.get_acc(acc, self.dtype), out.type.dtype)
                n = delinear(ix.add(ix.mul(piece, s.combine), v), f.n, w.ranges)
                point = f.out(delinear(q, f.batch, w.ranges), delinear(r, f.m, w.ranges), n)
                self.k.store(result, point)

        self.columns(w.rest(piece, s.combine, self.n), column)

    def total(self, q: Index, block: Index, r: Index, v: Index, first: Index) -> str:
        """An accumulator of all parts."""
        w = self.w

        def fresh() -> str:
            return w.acc(self.dtype, 0)

        def add(acc: str, part: str) -> None:
            w.reduce((acc,), "sum", (w.get_acc(part, self.dtype),))

        def fold(acc: str, at: Point) -> None:
            w.reduce((acc,), "sum", (w.load(self.sums, self.place(q, at[0], block, r, v, first), self.dtype, pinned=True),))

        acc = fresh()
        Cascade(w, self.s.run, fresh, add).over([Steps(self.parts)], acc, fold)
        return acc
