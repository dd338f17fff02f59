"""Apple's GPUs: there are none. What needs none does what it says; what needs one is a RuntimeError."""

from __future__ import annotations

from ingot._refused import refused
from ingot.xpu import (
    device_count,
    empty_cache,
    is_available,
    manual_seed,
    manual_seed_all,
    max_memory_allocated,
    memory_allocated,
    memory_reserved,
    reset_peak_memory_stats,
    seed,
    synchronize,
)

__all__ = [
    "current_device", "current_stream", "device_count", "empty_cache", "is_available", "manual_seed", "manual_seed_all",
    "max_memory_allocated", "mem_get_info", "memory_allocated", "memory_reserved", "reset_peak_memory_stats", "seed", "set_device",
    "synchronize",
]  # fmt: skip

_NONE = "there are no MPS devices; tensors live on 'cpu' and 'cuda'"
current_device, set_device = refused("mps.current_device", _NONE), refused("mps.set_device", _NONE)
current_stream, mem_get_info = refused("mps.current_stream", _NONE), refused("mps.mem_get_info", _NONE)
