"""Products: a block has a tile of the result, in registers, and passes over k with tiles of both operands in shared memory.

Every factor is read from memory once for a block and from shared memory once for a thread, which multiplies `each` rows with `each`
columns. While a tile is multiplied the next one is on its way from memory to registers; it goes to the other half of shared memory, so
that a step of k takes one barrier. What lies behind the end of a row or a column is read at its last element, and not stored; behind the
end of k stand zeros. Where tiles are few, or k is so long that one chain of sums would lose digits, k falls into parts: their sums go
through memory, and a second kernel adds them up in order, an element to a thread.
"""

from __future__ import annotations

import math

from ingot.backends.cuda.block_kernel import WARP, verify_threads
from ingot.ir.loop import index as ix
from ingot.ir.loop.ir import Load
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, no_code
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one
from ingot.ir.lower.tiles.shape import shape_of
from ingot.ir.machine import Machine
from ingot.ir.ops.form import form_of
from ingot.ir.struct import value_type
from ingot.ir.types import Dim

__all__ = ["Product", "choose"]

# (rows, columns, steps of k) of a tile, (rows, columns) of a thread, and what part of the peak it reaches, in percent
TILES = (
    ((128, 128, 16), (8, 8), 90),
    ((128, 64, 16), (8, 4), 75),
    ((64, 128, 16), (4, 8), 75),
    ((64, 64, 16), (4, 4), 60),
    ((32, 64, 32), (4, 4), 45),
    ((64, 32, 32), (4, 4), 45),
    ((32, 32, 32), (2, 2), 30),
    ((16, 64, 32), (2, 4), 30),
    ((64, 16, 32), (4, 2), 30),
)
TILES_F64 = (((64, 64, 16), (4, 4), 80), ((32, 32, 16), (2, 2), 50))
CHAIN = 4096  # steps of k that are summed up in a row
MOST_PARTS = 32
LEAST_STEPS = 128  # of k in a part


@value_type
class Product(Schedule):
    """A product in tiles.

    tile     rows, columns and steps of k of a block's tile
    each     rows and columns of a thread
    left_k   neighbouring threads read neighbours along k of the left operand, else neighbouring rows
    right_k  likewise of the right one, else neighbouring columns
    parts    of k, whose sums go through memory
    apart    they do so though there is one part: the second kernel looks for sums that zeros between elements have spoilt
    """

    tile: tuple[int, int, int]
    each: tuple[int, int]
    left_k: bool = False
    right_k: bool = False
    parts: int = 1
    apart: bool = False

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.tile[0] // self.each[0] * (self.tile[1] // self.each[1])

    @property
    def twice(self) -> bool:
        """Whether there are two kernels."""
        return self.parts > 1 or self.apart

    def verify(self, group: Group) -> None:
        at_least_one(parts=self.parts)
        (bm, bn, bk), (tm, tn) = self.tile, self.each
        verify_threads(rows=bm, columns=bn, k=bk, each_row=tm, each_column=tn)
        if bm < tm or bn < tn or self.threads < WARP or bm * bk % self.threads or bn * bk % self.threads:
            raise ScheduleError(f"{self}: threads do not share the tile out evenly ({group})")
        zeros = form_of(group.nodes[0]).zeros
        if self.apart != (zeros is not None and not zeros.counted):
            raise ScheduleError(f"{self}: zeros that are no terms take a second kernel, and nothing else does ({group})")


def choose(group: Group, machine: Machine) -> Product:
    """The schedule of a product: the tile that is done soonest where every multiprocessor takes blocks in turn, and enough parts of k to
    keep them all at work."""
    f, n = form_of(group.nodes[0]), shape_of(group.nodes[0])
    m, columns, k, batch = (assumed(d) if d != 0 else 0 for d in (n.m, n.n, n.k, n.batch))
    workers = machine.workers // 2

    def blocks(tile: tuple[int, int, int]) -> int:
        return max(1, batch * -(-m // tile[0]) * -(-columns // tile[1]))

    def parts_for(tile: tuple[int, int, int]) -> int:
        few = min(workers // blocks(tile), MOST_PARTS, k // LEAST_STEPS)
        return max(1, few, -(-k // CHAIN))

    def cost(choice: tuple[tuple[int, int, int], tuple[int, int], int]) -> float:
        tile, _, rate = choice
        parts = parts_for(tile)
        turns = -(-blocks(tile) * parts // workers)
        return turns * tile[0] * tile[1] * (k / parts + 64) / rate

    tile, each, _ = min(TILES_F64 if n.dtype.itemsize == 8 else TILES, key=cost)
    left, right = _along(group)
    apart = f.zeros is not None and not f.zeros.counted
    return Product(tile, each, left, right, parts_for(tile), apart)


def _along(group: Group) -> tuple[bool, bool]:
    """Whether neighbours in memory are neighbours along k, of the left and of the right operand; found by writing one load of each."""
    f = form_of(group.nodes[0])
    found = []
    for left in (True, False):
        k = GroupKernel(group, "trial", no_code)

        def point(name: str, dims: tuple[Dim, ...], w: GroupKernel = k) -> tuple[ix.Index, ...]:
            for j, d in enumerate(dims):
                w.w.ranges[f"{name}{j}"] = d
            return tuple(ix.var(f"{name}{j}") for j in range(len(dims)))

        q, m, n, s = point("q", f.batch), point("m", f.m), point("n", f.n), point("k", f.k)
        if left:
            f.left_or_nothing(k.elements(), f.at_left(q, m, s))
        else:
            f.b(k.elements(), q, s, n)
        loads = [s.index for s in k.w.finish().body if isinstance(s, Load)]
        here, across = f"k{len(f.k) - 1}", f"m{len(f.m) - 1}" if left else f"n{len(f.n) - 1}"
        one_k = sum(ix.coefficient(i, here) == 1 for i in loads)
        found.append(one_k > sum(ix.coefficient(i, across) == 1 for i in loads) and math.prod(map(assumed, f.k[-1:])) >= 8)
    return found[0], found[1]
