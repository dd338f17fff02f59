"""The levels of NVIDIA GPUs: generations, by the names that PTX gives them."""

from __future__ import annotations

from ingot.backends.llvm.level import Level
from ingot.ir.machine import Machine

__all__ = ["LEVELS"]

BLOCKS = 264  # that a kernel should fall into, where it is large enough: two for each multiprocessor of a large GPU


def _level(name: str, shared_kib: int, tensor_cores: int) -> Level:
    shared = shared_kib << 10
    machine = Machine(
        128, workers=BLOCKS, warp=32, block_threads=1024, shared_bytes=shared, thread_registers=255, tensor_cores=tensor_cores
    )
    return Level(name, "nvptx64-nvidia-cuda", name, (), (), machine)


LEVELS: dict[str, Level] = {level.name: level for level in (_level("sm_80", 163, 3), _level("sm_90", 227, 4))}
