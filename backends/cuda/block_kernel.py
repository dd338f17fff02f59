"""A kernel of thread blocks while it is written: a grid of blocks around the threads of one.

grid g in 0..G { alloc shared …; block t in 0..T { … } }
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.ir import Alloc, Barrier, For, IndexValue, Kernel, WarpgroupMma
from ingot.ir.loop.walk import statements
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.schedule import Schedule, ScheduleError
from ingot.ir.lower.writer import Scalar
from ingot.ir.size import ceil_div, exactly
from ingot.ir.struct import replace
from ingot.ir.types import Dim

__all__ = [
    "ALIGNMENT", "LINES", "STATIC", "THREADS", "WARP", "BlockKernel", "asked_for", "geometry", "multiplied_there", "power_of_two",
    "shared_bytes", "threads_for", "verify_threads",
]  # fmt: skip

THREADS = 256  # of a block, at most
WARP = 32
STATIC = 48 << 10  # bytes of shared memory that a block has without asking for more
ALIGNMENT, LINES = 16, 1024  # of shared memory; of what a warpgroup multiplies, whose lines lie by address


def power_of_two(n: int) -> int:
    """The least power of two that is not below n."""
    return 1 << max(0, n - 1).bit_length()


def threads_for(n: Dim) -> int:
    """Threads of a block, where n threads are wanted in all."""
    return min(THREADS, max(WARP, power_of_two(assumed(n))))


def verify_threads(**counts: int) -> None:
    """Raise ScheduleError unless every one is a power of two, and none is too many threads for a block."""
    for name, n in counts.items():
        if type(n) is not int or n < 1 or n & (n - 1) or n > 1024:
            raise ScheduleError(f"a schedule with {name} {n!r}, which is no power of two up to 1024")


class BlockKernel(GroupKernel):
    """Begins a kernel of a group in blocks of threads."""

    def __init__(self, group: Group, name: str, check: Callable[[Node], int]):
        super().__init__(group, name, check)
        self.allocs: list[Alloc] = []

    def shared(self, dtype: DType, size: int) -> str:
        """Memory that the threads of a block share."""
        self.allocs.append(Alloc(self.w.fresh("s"), dtype, size, "shared"))
        return self.allocs[-1].name

    @contextmanager
    def grid(self, blocks: Dim, threads: int) -> Iterator[tuple[Index, Index]]:
        """The code of a thread; yields the indices of the block and of the thread in it."""
        with self.w.loop("grid", blocks) as g, self.w.loop("block", threads) as t:
            yield g, t

    def number(self, value: Dim) -> Scalar:
        """A number that is a parameter of the kernel. To be asked for before anything is written."""
        name = self.w.fresh()
        self.w.append(IndexValue(name, ix.const(value)))
        return Scalar(name, dtypes.i64)

    def each(self, n: Dim, threads: int, body: Callable[[Index], None], times: Dim = 1) -> None:
        """`body` for each of n items, one to a thread, neighbours side by side; where `times` is 0 for none."""
        with self.grid(ceil_div(n, threads) * times, threads) as (g, t):
            item = ix.add(ix.mul(g, threads), t)
            with self.below(item, n, exactly(n, threads) is not None):
                body(item)

    def below(self, i: Index, n: Dim, always: bool) -> AbstractContextManager[None]:
        """Code that runs where i < n."""
        return nullcontext() if always else self.w.when(self.less(i, n))

    def less(self, i: Index, n: Dim) -> Scalar:
        """i < n, with n as part of an index, which may be a parameter."""
        return self.w.lt(self.w.index_value(ix.sub(i, ix.const(n))), 0)

    def barrier(self) -> None:
        """Where the threads of a block wait for each other."""
        self.w.append(Barrier())

    def clamped(self, i: Index, n: Dim, always: bool) -> tuple[Index, Scalar | None]:
        """min(i, n - 1), to compute with what nobody stores; and whether that is i (None: always)."""
        if always:
            return i, None
        w = self.w
        last = ix.const(n - 1)
        return ix.add(last, w.as_index(w.min(w.index_value(ix.sub(i, last)), 0))), self.less(i, n)

    def finish(self, schedule: Schedule, twice: bool = False, fixed: bool = False) -> Written:
        """The kernel, with the schedule that it was written by. What is alike for all threads, each computes for itself."""
        written = super().finish(schedule, twice, fixed)
        *before, grid = written.kernel.body
        assert isinstance(grid, For) and grid.kind == "grid"
        *inside, block = grid.body
        assert isinstance(block, For) and block.kind == "block"
        block = replace(block, body=[*before, *inside, *block.body])
        return replace(written, kernel=replace(written.kernel, body=[replace(grid, body=[*self.allocs, block])]))


def shared_bytes(kernel: Kernel) -> dict[str, tuple[int, int]]:
    """Where shared memory begins in that of a block, and ends, by its name."""
    out: dict[str, tuple[int, int]] = {}
    at, lines = 0, multiplied_there(kernel)
    for s in statements(kernel.body):
        if isinstance(s, Alloc) and s.name not in out:
            assert isinstance(s.size, int)
            unit = LINES if s.name in lines else ALIGNMENT
            at = -(-at // unit) * unit
            out[s.name] = at, at + max(1, s.size) * s.dtype.itemsize
            at = out[s.name][1]
    return out


def multiplied_there(kernel: Kernel) -> set[str]:
    """The shared memory that warpgroups multiply from."""
    return {name for s in statements(kernel.body) if isinstance(s, WarpgroupMma) for name in (s.left, s.right)}


def asked_for(kernel: Kernel) -> int:
    """Bytes of shared memory that a launch of a kernel asks for; 0 where its code has what it needs."""
    most = max((end for _, end in shared_bytes(kernel).values()), default=0)
    return most if most > STATIC else 0


def geometry(kernel: Kernel) -> tuple[int | str, int]:
    """(blocks, threads of a block) to launch a kernel with; blocks: a number, or the name of the parameter that says it."""
    (grid,) = kernel.body
    assert isinstance(grid, For) and isinstance(grid.body[-1], For) and not grid.extent.terms
    blocks = grid.extent.const
    return blocks if isinstance(blocks, int) else blocks.name, ix.evaluate(grid.body[-1].extent, {})
