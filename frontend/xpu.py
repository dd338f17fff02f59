"""Intel's GPUs: there are none. What needs none does what it says; what needs one is a RuntimeError."""

from __future__ import annotations

from typing import Any

from ingot._refused import refused

__all__ = [
    "current_device", "current_stream", "device_count", "empty_cache", "is_available", "manual_seed", "manual_seed_all",
    "max_memory_allocated", "mem_get_info", "memory_allocated", "memory_reserved", "reset_peak_memory_stats", "seed", "set_device",
    "synchronize",
]  # fmt: skip

_NONE = "there are no XPU devices; tensors live on 'cpu' and 'cuda'"
current_device, set_device = refused("xpu.current_device", _NONE), refused("xpu.set_device", _NONE)
current_stream, mem_get_info = refused("xpu.current_stream", _NONE), refused("xpu.mem_get_info", _NONE)


def is_available() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def memory_allocated(device: Any = None) -> int:
    """0."""
    return 0


def empty_cache() -> None:
    """Nothing: nothing is kept."""


def synchronize(device: Any = None) -> None:
    """Nothing: there is nothing to wait for."""


def manual_seed(seed: int) -> None:
    """Nothing: there is no generator to seed."""


def seed() -> None:
    """Nothing: there is no generator to seed."""


def reset_peak_memory_stats(device: Any = None) -> None:
    """Nothing: nothing was counted."""


manual_seed_all, max_memory_allocated, memory_reserved = manual_seed, memory_allocated, memory_allocated
