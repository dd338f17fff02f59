"""Depthwise convolutions: windows of one channel each, whose sums stay in registers for some results in a row.

Lanes run over the channels where these lie last, else along the last spatial dim; a tile is some results along the dim before that.
Every tap is one load of the input for all results that need it, and one of the weight. Tiles whose windows lie within the input read
without masks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from itertools import product

from ingot.ir.facts import Contraction
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.elements import Elements
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.nest import NEST
from ingot.ir.lower.nest.schedule import Nest
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.lower.target import Kind
from ingot.ir.lower.tiles.shape import shape_of
from ingot.ir.lower.writer import Scalar
from ingot.ir.machine import Machine
from ingot.ir.ops.form import Form, form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.size import at_most, ceil_div, exactly
from ingot.ir.struct import value_type
from ingot.ir.types import Dim, tensor_type

__all__ = ["DEPTHWISE", "Depthwise", "is_depthwise"]

Check = Callable[[Node], int]

RESULTS = 7  # of a tile, whose sums and inputs together find room in 16 registers
MOST_TAPS = 128  # of a window, whose sum is one chain
UNROLLED = 12  # taps that are written one after the other; of more, the outer dims are loops
MIN_CHANNELS = 4


def is_depthwise(node: Node) -> bool:
    """Whether a contraction has windows of one channel each."""
    if not isinstance(node.op.lowering, Contraction) or node.outputs[0].type.dtype.kind != "f":
        return False
    f = form_of(node)
    single = len(f.k) > 1 and f.k[-1] == 1 and all(d == 1 for d in f.n) and bool(f.order) and len(f.batch) == 2
    if not single or not all(isinstance(d, int) for d in f.k):
        return False
    return 1 < math.prod(map(assumed, f.k)) <= MOST_TAPS and assumed(f.batch[1]) >= MIN_CHANNELS


@value_type
class Depthwise(Schedule):
    """Tiles of windows.

    width     lanes of a vector
    channels  lanes run over channels; else along the last spatial dim
    tile      results of a tile, along the last spatial dim that has no lanes
    chunk     lines of such tiles in a parallel chunk
    unroll    dims of the window, counted from the last, whose taps are written one after the other
    pack      elements of the weight in a parallel chunk of what brings it into the order of the taps
    """

    width: int
    channels: bool
    tile: int
    chunk: int
    unroll: int
    pack: int

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.width)
        at_least_one(tile=self.tile, chunk=self.chunk, pack=self.pack)
        f = form_of(group.nodes[0])
        if not 0 <= self.unroll < len(f.k):
            raise ScheduleError(f"{self}: taps of dims that there are not ({group})")
        if self.tile > 1 and (not self.channels and len(f.m) < 2 or not at_most(self.tile, f.m[self.along(group)])):
            raise ScheduleError(f"{self}: a tile larger than the result ({group})")

    def along(self, group: Group) -> int:
        """The dim of m that tiles run along; -1: none, there is but the dim of the lanes."""
        return len(form_of(group.nodes[0]).m) - (1 if self.channels else 2)


def choose(group: Group, machine: Machine) -> Depthwise | Nest:
    """The schedule of a depthwise convolution; that of a nest where lanes along the last dim would skip elements."""
    node = group.nodes[0]
    f, dtype = form_of(node), shape_of(node).dtype
    channels = bool(group.orders) or math.prod(map(assumed, f.m)) == 1
    if not channels and _stride(f) != 1:
        return NEST.choose(group, machine)
    along = len(f.m) - (1 if channels else 2)
    tile = 1
    if along >= 0 and isinstance(f.m[along], int):
        d = f.m[along]
        tile = min(range(1, min(d, RESULTS) + 1), key=lambda t: (-(-d // t) * (t + 1.5), -t)) if d else 1
    taps = [assumed(d) for d in f.k[:-1]]
    unroll = 0
    while unroll < len(taps) and math.prod(taps[len(taps) - unroll - 1 :]) <= UNROLLED:
        unroll += 1
    line = math.prod(taps) * assumed(f.m[-1]) * (assumed(f.batch[1]) if channels else tile)
    return Depthwise(machine.lanes(dtype.bits), channels, tile, max(1, machine.chunk_flops // 4 // max(1, line)), unroll, 8192)


def _stride(f: Form) -> object:
    """How far apart windows stand along the last dim."""
    point = f.at_left((ZERO, ZERO), (*(ZERO,) * (len(f.m) - 1), ix.var("m")), (ZERO,) * len(f.k))
    return ix.coefficient(point[-1], "m")


def emit(group: Group, s: Depthwise | Nest, check: Check) -> list[Written]:
    """The kernel that brings the weight into the order of its taps, apart, so that a loop whose weight stays the same does it once; and
    the one that convolves."""
    if isinstance(s, Nest):
        return NEST.emit(group, s, check)
    f = form_of(group.nodes[0])
    packed = Value(tensor_type(shape_of(group.nodes[0]).dtype, (*f.k[:-1], f.batch[1])))
    return [_packing(group, s, check, packed), _Convolution(group, s, check, packed).run()]


def _packing(group: Group, s: Depthwise, check: Check, packed: Value) -> Written:
    k = GroupKernel(group, "pack", check)
    w, f = k.w, form_of(group.nodes[0])
    name = k.buffer(packed, "w", noalias=True)
    channels, taps = f.batch[1], f.k[:-1]

    def tap(i: Index) -> None:
        elements = k.elements()
        at = delinear(i, taps, w.ranges)
        with w.loop("vector", channels, s.width, exactly(channels, s.width) is not None) as c:
            x = f.b(elements, (ZERO, c), (*at, ZERO), (ZERO,) * len(f.n))
            w.store(name, ix.add(ix.mul(i, channels), c), convert(w, x, packed.type.dtype))

    w.chunks(math.prod(taps), max(1, s.pack // max(1, assumed(channels))), tap)
    return k.finish(s)


class _Convolution:
    def __init__(self, group: Group, s: Depthwise, check: Check, packed: Value):
        self.group, self.s, self.packed = group, s, packed
        self.k = GroupKernel(group, "depthwise", check)
        self.w = self.k.w
        self.form = form_of(group.nodes[0])
        self.weight = self.k.buffer(packed, "r")
        self.along = s.along(group)

    def run(self) -> Written:
        f, s, w = self.form, self.s, self.w
        dims = [f.batch[0], *(() if s.channels else (f.batch[1],)), *f.m[: max(0, self.along)]]
        w.chunks(math.prod(dims), s.chunk, lambda i: self.line(delinear(i, tuple(dims), w.ranges)))
        return self.k.finish(s, twice=True, fixed=True)

    def line(self, at: Point) -> None:
        """Tiles one after the other, and within each vectors one after the other."""
        f, s, w = self.form, self.s, self.w
        lead = at[1 if s.channels else 2 :]
        last: Dim = f.m[self.along] if self.along >= 0 else 1
        with w.loop("serial", ceil_div(last, s.tile)) as t:
            start = ix.mul(t, s.tile)
            if s.tile > 1 and exactly(last, s.tile) is None:  # the last tile overlaps its neighbour: both write the same values
                start = w.as_index(w.min(w.index_value(start), w.index_value(ix.const(last - s.tile))))
            rows = [(*lead, ix.add(start, ix.const(r))) if self.along >= 0 else lead for r in range(s.tile)]
            if s.channels:
                self.either((at[0],), rows, None)
                return
            with w.loop("serial", ceil_div(f.m[-1], s.width)) as b:
                self.either(at[:2], rows, b)

    def either(self, q: Point, rows: list[Point], block: Index | None) -> None:
        """Without masks where all that is read lies in the input, else with them."""
        w, zeros = self.w, self.form.zeros
        inside = self.inside(rows, block)
        if inside is None:
            self.vectors(q, rows, block, zeros is not None)
            return
        with w.when(inside):
            self.vectors(q, rows, block, False)
        with w.when(w.not_(inside)):
            self.vectors(q, rows, block, True)

    def inside(self, rows: list[Point], block: Index | None) -> Scalar | None:
        """Whether the windows of all these results lie in the input; None where that is known, or masks are needed anyway."""
        f, w, zeros = self.form, self.w, self.form.zeros
        if zeros is None or any(g != 1 for g in zeros.gap):
            return None
        sizes = f.left.type.shape[2:]
        first, last = self.reads(rows[0], block, False), self.reads(rows[-1], block, True)
        conditions = []
        for a, b, low, size in zip(first, last, zeros.low, sizes):
            conditions += [w.ge(w.index_value(a), low), w.lt(w.index_value(b), w.index_value(ix.const(size + low)))]
        if block is not None:
            conditions.append(w.le(w.index_value(ix.add(ix.mul(block, self.s.width), ix.const(self.s.width))), self.form.m[-1]))
        return reduce(w.and_, conditions)

    def reads(self, row: Point, block: Index | None, last: bool) -> Point:
        """The first or last place that windows read, among the zeros."""
        f = self.form
        m = row
        if block is not None:
            m = (*row, ix.add(ix.mul(block, self.s.width), ix.const(self.s.width - 1 if last else 0)))
        k = tuple(ix.const(d - 1 if last else 0) for d in f.k[:-1])
        return f.at_left((ZERO, ZERO), m, (*k, ZERO))[2:]

    def vectors(self, q: Point, rows: list[Point], block: Index | None, masked: bool) -> None:
        """One tile, for all channels or for a block of the last dim."""
        f, s, w = self.form, self.s, self.w
        if block is None:
            channels = f.batch[1]
            with w.loop("vector", channels, s.width, exactly(channels, s.width) is not None) as v:
                self.tile((*q, v), rows, masked)
            return
        extent = w.rest(block, s.width, f.m[-1]) if masked or f.zeros is None else s.width
        with w.loop("vector", extent, s.width, not isinstance(extent, Index)) as v:
            self.tile(q, [(*r, ix.add(ix.mul(block, s.width), v)) for r in rows], masked)

    def tile(self, q: Point, rows: list[Point], masked: bool) -> None:
        """The sums of some results over all taps, and what follows them."""
        f, s, w, dtype = self.form, self.s, self.w, self.packed.type.dtype
        accs = [w.acc(dtype, 0) for _ in rows]
        taps = f.k[:-1]
        outer = len(taps) - s.unroll
        elements = self.k.elements()

        def inner(at: Point) -> None:
            for rest in product(*(range(int(d)) for d in taps[outer:])):
                k = (*at, *map(ix.const, rest))
                b = w.load(self.weight, linear((*k, q[1]), self.packed.type.shape), dtype)
                for acc, m in zip(accs, rows):
                    w.reduce((acc,), "fma", self.factors(elements, q, m, (*k, ZERO), b, masked))

        def over(at: Point) -> None:
            if len(at) == outer:
                inner(at)
                return
            with w.loop("serial", taps[len(at)]) as i:
                over((*at, i))

        over(())
        for acc, m in zip(accs, rows):
            self.finish(w.get_acc(acc, dtype), q, m)

    def factors(self, elements: Elements, q: Point, m: Point, k: Point, b: Scalar, masked: bool) -> tuple[Scalar, Scalar]:
        """What is multiplied for a tap of a result."""
        f, w, zeros = self.form, self.w, self.form.zeros
        point = f.at_left(q, m, k)
        if zeros is None or not masked:
            low = (0,) * len(f.m) if zeros is None else zeros.low
            at = (*point[:2], *(ix.add(i, ix.const(-lo)) for i, lo in zip(point[2:], low)))
            return w.cast(elements.at(f.left, at), b.dtype), b
        at, mask = zeros.inside(w, point, f.left.type.shape)
        x = w.cast(elements.at(f.left, at, mask), b.dtype)
        if mask is None:
            return x, b
        if elements.source(f.left) is None:  # what is loaded is 0 already where there is nothing
            x = w.select(mask, x, w.const(0, x.dtype))
        return x, b if zeros.counted else w.select(mask, b, w.const(0, b.dtype))

    def finish(self, x: Scalar, q: Point, m: Point) -> None:
        """Apply what follows the convolution in its group, and store."""
        f, w = self.form, self.w
        elements = self.k.elements()
        out = self.group.nodes[0].outputs[0]
        point = f.out(q, m, (ZERO,) * len(f.n))
        result = convert(w, x, out.type.dtype)
        elements.known[out] = lambda idx: result
        for v in self.group.outputs:
            idx = tuple(ZERO if a is None else point[a] for a in self.group.maps[v])
            w.store(self.k.buffer(v, "w"), self.group.offset(v, idx), elements.at(v, idx))


DEPTHWISE = Kind(choose, emit)
