"""Products: a block has a tile of the result, in registers, and passes over k with tiles of both operands in shared memory.

Every factor is read from memory once for a block, and from shared memory once for a thread, which multiplies `each` rows with `each`
columns, or once for a warp, which has the matrix instruction for halves (fragments.py). While a tile is multiplied the next ones are
on their way: through registers where their elements are made on the way, else straight into shared memory, which has room for `stages`
of them, so that a step of k takes one barrier. What lies behind the
end of a row or a column is read at its last element, and not stored; behind the end of k stand zeros. Where tiles are few, or k is so
long that one chain of sums would lose digits, k falls into parts: their sums go through memory, and a second kernel adds them up in
order, an element to a thread.
"""

from __future__ import annotations

import math

from ingot.backends.cuda.block_kernel import WARP, verify_threads
from ingot.backends.cuda.lying import lies
from ingot.ir.dtypes import DType, Half
from ingot.ir.loop import index as ix
from ingot.ir.loop.fragments import COLUMNS, GROUP, GROUP_ROWS, LINE, ROWS, steps
from ingot.ir.loop.ir import Load
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, no_code
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one
from ingot.ir.ops.elementwise import round_tf32
from ingot.ir.ops.form import form_of
from ingot.ir.struct import value_type
from ingot.ir.types import Dim

__all__ = ["Fragments", "InTiles", "Product", "Warpgroups", "along_k", "of_words"]



@value_type
class InTiles(Schedule):
    """A product in tiles.

    tile     rows, columns and steps of k of a block's tile
    left_k   neighbouring threads read neighbours along k of the left operand, else neighbouring rows
    right_k  likewise of the right one, else neighbouring columns
    parts    of k, whose sums go through memory
    apart    they do so though there is one part: the second kernel looks for sums that zeros between elements have spoilt
    stages   tiles of each operand in shared memory
    copied   whether an operand is copied there past the registers
    """

    tile: tuple[int, int, int]
    left_k: bool = False
    right_k: bool = False
    parts: int = 1
    apart: bool = False
    stages: int = 2
    copied: tuple[bool, bool] = (False, False)

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return WARP

    @property
    def twice(self) -> bool:
        """Whether there are two kernels."""
        return self.parts > 1 or self.apart

    def verify(self, group: Group) -> None:
        bm, bn, bk = self.tile
        at_least_one(parts=self.parts, rows=bm, columns=bn, k=bk)
        if not 2 <= self.stages <= 8:
            raise ScheduleError(f"{self}: {self.stages} tiles in shared memory ({group})")
        for left, along, copied in ((True, self.left_k, self.copied[0]), (False, self.right_k, self.copied[1])):
            if copied and ((found := lies(group, left)) is None or found.along_k != along):
                raise ScheduleError(f"{self}: an operand that is not read as it lies is copied ({group})")
        zeros = form_of(group.nodes[0]).zeros
        if self.apart != (zeros is not None and not zeros.counted):
            raise ScheduleError(f"{self}: zeros that are no terms take a second kernel, and nothing else does ({group})")


@value_type
class Product(InTiles):
    """A product in tiles, of which a thread has some rows and columns: `each` so many. See `InTiles`."""

    each: tuple[int, int] = (1, 1)

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.tile[0] // self.each[0] * (self.tile[1] // self.each[1])

    def verify(self, group: Group) -> None:
        super().verify(group)
        (bm, bn, bk), (tm, tn) = self.tile, self.each
        verify_threads(rows=bm, columns=bn, k=bk, each_row=tm, each_column=tn)
        if bm < tm or bn < tn or self.threads < WARP or bm * bk % self.threads or bn * bk % self.threads:
            raise ScheduleError(f"{self}: threads do not share the tile out evenly ({group})")


@value_type
class Fragments(InTiles):
    """A product of halves, or of what is rounded to TF32, by matrix instructions. `warps` (along rows, along columns) share tiles out."""

    warps: tuple[int, int] = (1, 1)

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return WARP * self.warps[0] * self.warps[1]

    def verify(self, group: Group) -> None:
        super().verify(group)
        (bm, bn, bk), (wm, wn) = self.tile, self.warps
        verify_threads(rows=bm, columns=bn, k=bk, warp_rows=wm, warp_columns=wn, threads=self.threads)
        dtype = of_words(group)
        if any(self.copied) and dtype not in Half:
            raise ScheduleError(f"{self}: what is rounded on its way is copied ({group})")
        if dtype is None:
            raise ScheduleError(f"{self}: operands that are not the same, and neither halves nor rounded ({group})")
        words = [side * bk * dtype.itemsize // 4 for side in (bm, bn)]
        if bm % (ROWS * wm) or bn % (COLUMNS * wn) or bn % 16 or bk % steps(dtype) or any(n % (2 * self.threads) for n in words):
            raise ScheduleError(f"{self}: warps do not share the tile out evenly ({group})")


@value_type
class Warpgroups(InTiles):
    """A product as of `Fragments`, by warpgroups: `groups` of four warps, of which each has 64 rows."""

    groups: int = 1

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return GROUP * self.groups

    @property
    def nbytes(self) -> int:
        """Bytes of shared memory."""
        return self.stages * (self.tile[0] + self.tile[1]) * LINE * 4

    def verify(self, group: Group) -> None:
        super().verify(group)
        (bm, bn, bk), dtype = self.tile, of_words(group)
        if dtype is None or any(self.copied) and dtype not in Half:
            raise ScheduleError(f"{self}: operands that are not the same, and neither halves nor rounded ({group})")
        if bk * dtype.itemsize != 4 * LINE or bm != GROUP_ROWS * self.groups or bn % 64 or bn > 256 or self.stages < 3:
            raise ScheduleError(f"{self}: warpgroups do not share the tile out evenly ({group})")


def of_words(group: Group) -> DType | None:
    """The dtype of both operands of a product, where matrix instructions take it: halves, or float32 that is rounded to TF32."""
    f = form_of(group.nodes[0])
    dtype, producers = f.left.type.dtype, group.graph.producers
    if dtype in Half and f.right.type.dtype is dtype:
        return dtype
    rounded = all((n := producers.get(v)) is not None and n.op is round_tf32 for v in (f.left, f.right))
    return dtype if rounded else None


def along_k(group: Group) -> tuple[bool, bool]:
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
