"""The schedule of a 3 x 3 convolution by Winograd's minimal filtering, and when there is one."""

from __future__ import annotations

import math

from ingot.ir import dtypes
from ingot.ir.graph import Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.points import ZERO
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.lower.tiles.filtering import AT_ONCE, PRODUCTS
from ingot.ir.machine import Machine
from ingot.ir.ops.form import Form, form_of
from ingot.ir.size import at_most
from ingot.ir.struct import value_type

__all__ = ["Winograd", "channels_last", "choose", "tiles"]

ROWS = {16: 4, 32: 6, 64: 12}  # tiles that are multiplied at once with two vectors of columns, by the bytes of a vector register
FEWEST = 32  # channels, of the input and of the result, from which on the products outweigh what is done before and after them
MOST = 512  # channels, whose sum is one chain
WASTE = 1.35  # results of all tiles, those that overlap twice, to results
MANY = 256  # tiles, from which on a weight that changes with every call is worth its transform
ENOUGH = 51  # tiles of a block: fewer pass over all weights too often, so that some of their inputs may come from farther away
SHARED = 2  # tiles whose products take as long as what the tiles of a block share
PACK_ELEMENTS = 16384  # of a parallel chunk


@value_type
class Winograd(Schedule):
    """Tiles of two by two results, of which each channel takes sixteen products in place of 36.

    images      of an item
    high, wide  tiles of an image in an item, in each dim
    rows        tiles that are multiplied at once with a panel of columns
    columns     of a panel
    width       lanes of what is done before and after the products
    group       panels of an item
    pack        channels of a panel of weights in a parallel chunk
    """

    images: int
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
        at_least_one(images=self.images, high=self.high, wide=self.wide, rows=self.rows, group=self.group, pack=self.pack)
        f = form_of(group.nodes[0])
        if not _fits(f) or f.k[-1] % self.width or f.n[0] % self.columns or self.columns % self.width:  # type: ignore[operator]
            raise ScheduleError(f"{self}: no 3 x 3 windows side by side, or no whole vectors ({group})")
        if self.high > tiles(f, 0) or self.wide > tiles(f, 1) or self.rows > self.images * self.high * self.wide:
            raise ScheduleError(f"{self}: more tiles than there are ({group})")
        if self.images > 1 and at_most(self.images, f.batch[0]) is not True:
            raise ScheduleError(f"{self}: images that there may not be ({group})")


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


def channels_last(group: Group, factor: Value) -> bool:
    """Whether the channels of a factor lie together, also those that it is made of where it has no memory."""
    read = {factor: group.orders.get(factor, ())} if factor in group.in_memory else group.orders
    return bool(read) and all(order[-1:] == (1,) for order in read.values())


def choose(group: Group, machine: Machine) -> Winograd | None:
    """The schedule where it pays: a weight that is transformed once, or for many tiles, stays near. None where it does not.

    Channels of what is read from memory may lie apart: to gather them, once for all columns, costs less than is saved.
    """
    node = group.nodes[0]
    f = form_of(node)
    graph = group.graph
    if node.outputs[0].type.dtype is not dtypes.f32 or not _fits(f):
        return None
    if not any(graph.inputs[i] is f.right for i in graph.steady) and assumed(f.batch[0]) * tiles(f, 0) * tiles(f, 1) < MANY:
        return None
    if f.left.type.dtype is not dtypes.f32 or not (f.left in group.in_memory or channels_last(group, f.left)):
        return None
    channels, out = assumed(f.k[-1]), assumed(f.n[0])
    width = machine.lanes(32)
    columns = 2 * width
    high, wide = tiles(f, 0), tiles(f, 1)
    if channels % width or out % columns or not FEWEST <= channels <= MOST or out < FEWEST:
        return None
    if high * wide * AT_ONCE**2 > WASTE * math.prod(map(assumed, f.m)):
        return None
    if PRODUCTS * channels * out * 4 > machine.cache_bytes[2] // 2:
        return None
    near = max(1, machine.cache_bytes[1] * 2 // 5 // (PRODUCTS * channels * 4))  # tiles whose inputs stay in the second cache
    most = max(near, min(2 * near, ENOUGH))
    across = -(-wide // -(-wide // min(most, wide)))
    panels = out // columns
    rows = ROWS.get(machine.vector_bytes, ROWS[16])

    def cost(blocks: int, count: int) -> float:
        """About how much is multiplied for blocks of so many tiles, and how much more is done where these are few."""
        return blocks * (-(-count // rows) * rows + SHARED)

    down = min(range(1, max(1, min(high, most // across)) + 1), key=lambda h: cost(-(-high // h), h * across))
    images, n = 1, f.batch[0]
    if isinstance(n, int) and (down, across) == (high, wide):
        images = min(range(1, max(1, min(n, most // (high * wide))) + 1), key=lambda i: cost(-(-n // i), i * high * wide))
    blocks = -(-assumed(n) // images) * -(-high // down) * -(-wide // across)
    groups = 1
    while blocks * groups < machine.workers and groups < panels:
        groups *= 2
    return Winograd(
        images=images, high=down, wide=across, rows=min(rows, images * down * across), columns=columns, width=width,
        group=-(-panels // groups), pack=max(1, PACK_ELEMENTS // (PRODUCTS * columns)),
    )  # fmt: skip
