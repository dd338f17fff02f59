"""The levels of NVIDIA GPUs: generations, by the names that PTX gives them."""

from __future__ import annotations

from ingot.backends.llvm.level import Level
from ingot.ir.machine import Machine

__all__ = ["LEVELS"]

BLOCKS = 264  # that a kernel should fall into, where it is large enough: two for each multiprocessor of a large GPU


def _level(name: str, shared_kib: int) -> Level:
    return Level(name, "nvptx64-nvidia-cuda", name, (), (), Machine(128, workers=BLOCKS, shared_bytes=shared_kib << 10))


LEVELS: dict[str, Level] = {level.name: level for level in (_level("sm_80", 163), _level("sm_90", 227))}
