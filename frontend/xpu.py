"""Intel's GPUs: there are none. What needs none does what it says; what needs one is a RuntimeError."""

from __future__ import annotations

from ingot import accelerator
from ingot.cuda.random import manual_seed, manual_seed_all, seed

__all__ = [
    "current_device", "current_stream", "device_count", "empty_cache", "is_available", "manual_seed", "manual_seed_all",
    "max_memory_allocated", "mem_get_info", "memory_allocated", "memory_reserved", "reset_peak_memory_stats", "seed", "set_device",
    "synchronize",
]  # fmt: skip

current_device, set_device = accelerator.current_device_index, accelerator.set_device_index
current_stream, device_count, is_available = accelerator.current_stream, accelerator.device_count, accelerator.is_available
empty_cache, synchronize, mem_get_info = accelerator.empty_cache, accelerator.synchronize, accelerator.get_memory_info
memory_allocated, max_memory_allocated = accelerator.memory_allocated, accelerator.max_memory_allocated
memory_reserved, reset_peak_memory_stats = accelerator.memory_reserved, accelerator.reset_peak_memory_stats
