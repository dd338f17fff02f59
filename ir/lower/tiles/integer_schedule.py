"""The schedule of a tiled contraction of integers, and how it is chosen."""

from __future__ import annotations

import math

from ingot.ir import dtypes
from ingot.ir.graph import Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.intervals import interval
from ingot.ir.loop.points import Point
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, no_code
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.lower.tiles.schedule import Lines
from ingot.ir.machine import Machine
from ingot.ir.ops.form import Form, form_of
from ingot.ir.struct import value_type

__all__ = ["Integers", "channel", "choose"]

ROWS = {16: 4, 32: 5, 64: 12}  # of a tile, of two vectors each, by the bytes of a vector register
PACK_ELEMENTS, COPY_ELEMENTS = 16384, 8192  # of a parallel chunk
COPY_WIDTH = 16


@value_type
class Integers(Schedule):
    """Register tiles over packed panels.

    columns   of a panel, and of a tile
    rows      of a tile; the last tile of all computes its last row again where rows are missing
    group     tiles of an item, one after the other, over one panel
    parallel  items are chunks
    pair      the dim of k along which two neighbours share a word of 32 bits, and are multiplied at once; None: a word is an element
    pack      lines of packing to a chunk; a line is all but the first dim of k of a panel
    copy      how A's words are written to scratch first; None: A is read where it lies
    """

    columns: int
    rows: int
    group: int
    parallel: bool
    pack: int
    copy: Lines | None = None
    pair: int | None = None

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.columns)
        at_least_one(rows=self.rows, group=self.group, pack=self.pack)
        if self.pair is not None and (self.copy is None or narrow(group) != self.pair):
            raise ScheduleError(f"{self}: pairs of what has more than 16 bits, or lies apart ({group})")


def choose(group: Group, machine: Machine) -> Integers:
    """The schedule of a tiled contraction of integers."""
    node = group.nodes[0]
    f = form_of(node)
    batch, m, n, k = (math.prod(map(assumed, dims)) for dims in (f.batch, f.m, f.n, f.k))
    base = machine.lanes(node.outputs[0].type.dtype.bits)
    columns = 2 * base if n > base else base
    panels = -(-n // columns)
    most = ROWS.get(machine.vector_bytes, 12)
    rows = min(range(1, min(max(1, m), most) + 1), key=lambda t: (-(-m // t) * (t + 1.5), -t))
    tiles = -(-m // rows)
    flops = 2 * rows * columns * k
    per_item = max(1, min(tiles, machine.chunk_flops // max(1, flops)))
    while per_item > 1 and batch * panels * -(-tiles // per_item) < machine.workers and per_item * flops > machine.chunk_flops // 8:
        per_item = -(-per_item // 2)
    pair = narrow(group)
    line = columns * math.prod(map(assumed, f.k[1:]))
    along = assumed((f.left_shape or (1,))[-1])
    return Integers(
        columns=columns,
        rows=rows,
        group=per_item,
        parallel=2 * batch * m * n * k >= machine.chunk_flops // 4,
        pack=max(1, PACK_ELEMENTS // max(1, line)),
        copy=Lines(COPY_WIDTH, max(1, COPY_ELEMENTS // max(1, along))) if pair is not None or f.zeros is not None else None,
        pair=pair,
    )


def narrow(group: Group) -> int | None:
    """The dim of k along which two elements are paired: both factors have 16 bits, sums have 32, and A's value has the dim to itself."""
    node = group.nodes[0]
    f = form_of(node)
    if node.outputs[0].type.dtype.bits != 32:
        return None
    pair = next((j for j in reversed(range(len(f.k))) if channel(f, j) is not None), None)
    return pair if pair is not None and _has_16_bits(group, f.left) and _has_16_bits(group, f.right) else None


def channel(f: Form, j: int) -> int | None:
    """The dim of A's value along which a dim of k runs, and nothing else; None where there is none."""
    q, m, k = (
        tuple(ix.const(0) if d == 1 and name == "q" else ix.var(f"{name}{i}") for i, d in enumerate(dims))
        for name, dims in (("q", f.batch), ("m", f.m), ("k", f.k))
    )
    point = f.at_left(q, m, k)
    found = [d for d, i in enumerate(point) if ix.depends_on(i, (f"k{j}",))]
    return found[0] if len(found) == 1 and point[found[0]] == k[j] else None


def _has_16_bits(group: Group, v: Value) -> bool:
    k = GroupKernel(group, "trial", no_code)
    point: Point = tuple(ix.var(f"a{i}") for i in range(v.type.rank))
    for i, d in enumerate(v.type.shape):
        k.w.ranges[f"a{i}"] = d
    x = k.elements().at(v, point)
    found = interval(k.w.finish(), x.operand, x.dtype)
    whole = -(2**15), 2**15 - 1
    return found is not None and whole[0] <= found[0] and found[1] <= whole[1] and x.dtype is not dtypes.bool_
