"""The schedule of a 3 x 3 convolution by Winograd's minimal filtering, and when there is one."""

from __future__ import annotations

import math

from ingot.ir import dtypes
from ingot.ir.loop import index as ix
from ingot.ir.loop.points import ZERO
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.machine import Machine
from ingot.ir.ops.form import Form, form_of
from ingot.ir.size import at_most
from ingot.ir.struct import value_type

__all__ = ["AT_ONCE", "PRODUCTS", "Winograd", "choose"]

AT_ONCE = 2  # results of a tile in each dim, made of inputs of two more
PRODUCTS = 16  # of a channel for the four results of a tile
ROWS = {16: 4, 32: 6, 64: 12}  # tiles that are multiplied at once with two vectors of columns, by the bytes of a vector register
FEWEST = 32  # channels, of the input and of the result, from which on the products outweigh what is done before and after them
MOST = 384  # channels, whose sum is one chain
MANY = 256  # tiles, from which on a weight that changes with every call is worth its transform
PACK_ELEMENTS = 16384  # of a parallel chunk


@value_type
class Winograd(Schedule):
    """Tiles of two by two results, of which each channel takes sixteen products in place of 36.

    high, wide  tiles of an item, in each dim
    rows        tiles that are multiplied at once with a panel of columns
    columns     of a panel
    width       lanes of what is done before and after the products
    group       panels of an item
    pack        channels of a panel of weights in a parallel chunk
    """

    high: int
    wide: int
    rows: int
    columns: int
    width: int
    group: int
    pack: int

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.columns)
        lanes(self.width)
        at_least_one(high=self.high, wide=self.wide, rows=self.rows, group=self.group, pack=self.pack)
        f = form_of(group.nodes[0])
        if not _fits(f) or f.k[-1] % self.width or f.n[0] % self.columns or self.columns % self.width:  # type: ignore[operator]
            raise ScheduleError(f"{self}: no 3 x 3 windows side by side, or no whole vectors ({group})")
        if self.high > tiles(f, 0) or self.wide > tiles(f, 1) or self.rows > self.high * self.wide:
            raise ScheduleError(f"{self}: more tiles than there are ({group})")


def tiles(f: Form, d: int) -> int:
    """Tiles along a dim of the result."""
    n = f.m[d]
    assert isinstance(n, int)
    return -(-n // AT_ONCE)


def _fits(f: Form) -> bool:
    """Whether a contraction has windows of 3 x 3 side by side, on two dims of known extents that hold a tile."""
    if len(f.m) != 2 or len(f.k) != 3 or f.k[:2] != (3, 3) or not f.overlapping or len(f.batch) != 2 or f.batch[1] != 1 or len(f.n) != 1:
        return False
    if f.zeros is not None and any(g != 1 for g in f.zeros.gap):
        return False
    if not all(isinstance(d, int) for d in (*f.m, *f.n, f.k[-1], *f.left.type.shape[1:])) or not all(at_most(AT_ONCE, d) for d in f.m):
        return False
    m, k = (ix.var("m0"), ix.var("m1")), (ix.var("k0"), ix.var("k1"), ZERO)
    places = f.at_left((ZERO, ZERO), m, k)[2:]
    return all(ix.coefficient(p, f"{name}{d}") == 1 for d, p in enumerate(places) for name in "mk")


def _channels_last(group: Group, f: Form) -> bool:
    """Whether the channels that are read lie together, also those that the input is made of where it has no memory."""
    read = {f.left: group.orders.get(f.left, ())} if f.left in group.in_memory else group.orders
    return bool(read) and all(order[-1:] == (1,) for order in read.values())


def choose(group: Group, machine: Machine) -> Winograd | None:
    """The schedule where it pays: a weight that is transformed once, or for many tiles, stays near, and channels lie together. None where
    it does not."""
    node = group.nodes[0]
    f = form_of(node)
    graph = group.graph
    if node.outputs[0].type.dtype is not dtypes.f32 or not _fits(f):
        return None
    if not any(graph.inputs[i] is f.right for i in graph.steady) and assumed(f.batch[0]) * tiles(f, 0) * tiles(f, 1) < MANY:
        return None
    if f.left.type.dtype is not dtypes.f32 or not _channels_last(group, f):
        return None
    channels, out = assumed(f.k[-1]), assumed(f.n[0])
    width = machine.lanes(32)
    columns = 2 * width
    high, wide = tiles(f, 0), tiles(f, 1)
    if channels % width or out % columns or not FEWEST <= channels <= MOST or out < FEWEST:
        return None
    if high * wide * AT_ONCE**2 > 1.25 * math.prod(map(assumed, f.m)):
        return None
    if PRODUCTS * channels * out * 4 > machine.cache_bytes[2] // 4:
        return None
    most = max(1, machine.cache_bytes[1] * 4 // 5 // (PRODUCTS * channels * 4))  # tiles whose inputs stay in the second cache
    across = -(-wide // -(-wide // min(most, wide)))
    panels = out // columns
    rows = ROWS.get(machine.vector_bytes, ROWS[16])

    def cost(h: int) -> float:
        """About how much is multiplied for blocks of h tiles, and how much more is done where these are few."""
        count = h * across
        return -(-high // h) * (-(-count // rows) * rows + 2)

    down = min(range(1, max(1, min(high, most // across)) + 1), key=cost)
    blocks = assumed(f.batch[0]) * -(-high // down) * -(-wide // across)
    groups = 1
    while blocks * groups < machine.workers and groups < panels:
        groups *= 2
    return Winograd(
        high=down, wide=across, rows=min(rows, down * across), columns=columns, width=width, group=-(-panels // groups),
        pack=max(1, PACK_ELEMENTS // (PRODUCTS * columns)),
    )  # fmt: skip
