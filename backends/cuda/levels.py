"""The levels of NVIDIA GPUs: generations, by the names that PTX gives them."""

from __future__ import annotations

import platform

from ingot.backends.llvm.level import Level
from ingot.ir.machine import Machine

__all__ = ["EMULATED", "LEVELS"]

BLOCKS = 264  # that a kernel should fall into, where it is large enough: two for each multiprocessor of a large GPU
EMULATED = "emulated"  # what runs where there is no GPU: kernels of blocks and threads, compiled for this processor
_HOSTS = {"x86_64": ("x86_64-unknown-linux-gnu", "x86-64-v3"), "aarch64": ("aarch64-unknown-linux-gnu", "aarch64")}


def _level(name: str, shared_kib: int, warpgroups: bool) -> Level:
    machine = Machine(128, workers=BLOCKS, shared_bytes=shared_kib << 10, generation=name, warpgroups=warpgroups)
    return Level(name, "nvptx64-nvidia-cuda", name, (), (), machine, has_bf16=True)


def _emulated() -> Level:
    triple, cpu = _HOSTS.get(platform.machine().lower(), _HOSTS["x86_64"])
    return Level(EMULATED, triple, cpu, (), (), Machine(128, workers=BLOCKS, shared_bytes=227 << 10, warpgroups=True))


LEVELS: dict[str, Level] = {level.name: level for level in (_level("sm_80", 163, False), _level("sm_90a", 227, True), _emulated())}
