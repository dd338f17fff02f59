"""The machine that a schedule is chosen for, as one value.

Everything in it is assumed for a target level, fixed in a table, and never measured: the same graph and level give the same
schedules on every host.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Machine"]


@dataclass(frozen=True, slots=True)
class Machine:
    """What a schedule may know of where its code runs. Sizes are in bytes.

    A GPU has a `warp` and shared memory, no vector registers that a schedule names, and threads instead of workers.
    """

    vector_bytes: int  # of a vector register; of a GPU: of the elements that a warp holds in one register each
    vector_registers: int = 16
    cache_bytes: tuple[int, int, int] = (32 << 10, 1 << 20, 1 << 25)  # first, second (of one core), last (of all)
    tile_unit: str = ""  # a unit for whole tiles of a product: "amx"
    chunk_work: int = 400_000  # lane instructions worth handing to another worker: some microseconds
    chunk_flops: int = 1 << 21  # the same where they are all fused multiply-adds on registers
    chunk_elements: int = 1 << 14  # the same in elements, where memory decides
    workers: int = 8  # chunks that a kernel should fall into, where it is large enough
    warp: int = 0  # threads that run in step; 0: a CPU
    block_threads: int = 0  # of one block, at most
    shared_bytes: int = 0  # of a block
    thread_registers: int = 0
    tensor_cores: int = 0  # their generation, in NVIDIA's count (sm_80: 3, sm_90: 4); 0: none

    def lanes(self, bits: int) -> int:
        """How many elements of `bits` one vector register holds."""
        return max(1, self.vector_bytes * 8 // bits)
