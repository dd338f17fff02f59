"""The machine that a schedule is chosen for, as one value.

Everything in it is assumed for a target level, fixed in a table, and never measured: the same graph and level give the same
schedules on every host.
"""

from __future__ import annotations

from ingot.ir.struct import value_type

__all__ = ["Machine"]


@value_type
class Machine:
    """What a schedule may know of where its code runs. Sizes are in bytes.

    A GPU has shared memory, and threads instead of workers.
    """

    vector_bytes: int  # of a vector register; of a GPU: of the elements that a warp holds in one register each
    cache_bytes: tuple[int, int, int] = (32 << 10, 1 << 20, 1 << 25)  # first, second (of one core), last (of all)
    chunk_work: int = 400_000  # lane instructions worth handing to another worker: some microseconds
    chunk_flops: int = 1 << 21  # the same where they are all fused multiply-adds on registers
    chunk_elements: int = 1 << 14  # the same in elements, where memory decides
    workers: int = 8  # chunks that a kernel should fall into, where it is large enough
    shared_bytes: int = 0  # of a block of a GPU's threads
    generation: str = ""  # whose measured choices are taken: a level of CPUs, or a generation of GPUs
    warpgroups: bool = False  # four warps of a GPU multiply what lies in shared memory
    dot_bytes: bool = False  # products of four bytes, and their sum, are one instruction of all lanes
    dot_halves: bool = False  # the same of two bfloat16

    def lanes(self, bits: int) -> int:
        """How many elements of `bits` one vector register holds."""
        return max(1, self.vector_bytes * 8 // bits)
