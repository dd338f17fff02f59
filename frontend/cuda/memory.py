"""The memory of CUDA devices. `ingot.memory_stats` tells of the CPU's."""

from __future__ import annotations

from typing import Any

from ingot.cuda.devices import gpu
from ingot.runtime.cuda import device as gpus
from ingot.runtime.cuda import driver
from ingot.runtime.cuda.driver import OutOfMemoryError as OutOfMemoryError
from ingot.runtime.recorder import flush

__all__ = [
    "OutOfMemoryError", "empty_cache", "get_allocator_backend", "max_memory_allocated", "max_memory_cached", "max_memory_reserved",
    "mem_get_info", "memory_allocated", "memory_cached", "memory_reserved", "memory_stats", "memory_stats_as_nested_dict", "memory_summary",
    "reset_accumulated_memory_stats", "reset_max_memory_allocated", "reset_max_memory_cached", "reset_peak_memory_stats",
    "set_per_process_memory_fraction",
]  # fmt: skip


def _count(name: str, device: Any) -> int:
    if device is None and not driver.in_use():
        return 0
    return int(getattr(gpu(device).pool, name))


def memory_allocated(device: Any = None) -> int:
    """Bytes that tensors have on a device."""
    return _count("allocated", device)


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that tensors had on a device, since `reset_peak_memory_stats`."""
    return _count("allocated_peak", device)


def memory_reserved(device: Any = None) -> int:
    """Bytes of a device that are kept for tensors, used or not."""
    return _count("reserved", device)


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes of a device that were kept, since `reset_peak_memory_stats`."""
    return _count("reserved_peak", device)


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Bytes of a device that are free, and that it has, whoever has the rest."""
    return gpu(device).pool.info()


def empty_cache() -> None:
    """Give back the memory of CUDA devices that no tensor has. `ingot.empty_cache` gives back the CPU's.

    >>> ingot.cuda.empty_cache()
    """
    flush()
    for g in gpus.opened():
        g.synchronize()
        for s in list(g.streams):
            s.forget_arena()
        g.pool.empty()


def reset_peak_memory_stats(device: Any = None) -> None:
    """Have the most bytes counted from now on."""
    if device is not None or driver.in_use():
        p = gpu(device).pool
        p.allocated_peak, p.reserved_peak, p.peak_of_segments = p.allocated, p.reserved, len(p.segments)


def reset_accumulated_memory_stats(device: Any = None) -> None:
    """Count allocations and what was given back from now on."""
    if device is not None or driver.in_use():
        p = gpu(device).pool
        p.allocations, p.frees, p.retries, p.ooms, p.total = p.allocations - p.frees, 0, 0, 0, 0


def memory_stats(device: Any = None) -> dict[str, Any]:
    """Counts of memory on a device, by torch's names; {} before CUDA is used."""
    if device is None and not driver.in_use():
        return {}
    p = gpu(device).pool
    return {
        "allocated_bytes.all.current": p.allocated, "allocated_bytes.all.peak": p.allocated_peak, "allocated_bytes.all.allocated": p.total,
        "reserved_bytes.all.current": p.reserved, "reserved_bytes.all.peak": p.reserved_peak, "requested_bytes.all.current": p.requested,
        "active_bytes.all.current": p.allocated, "active_bytes.all.peak": p.allocated_peak, "active.all.current": p.allocations - p.frees,
        "segment.all.current": len(p.segments), "segment.all.peak": p.peak_of_segments,
        "allocation.all.allocated": p.allocations, "allocation.all.freed": p.frees,
        "num_alloc_retries": p.retries, "num_ooms": p.ooms,
    }  # fmt: skip


def memory_stats_as_nested_dict(device: Any = None) -> dict[str, Any]:
    """The same as dicts within each other."""
    found: dict[str, Any] = {}
    for name, value in memory_stats(device).items():
        inner, (*path, last) = found, name.split(".")
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return found


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """The counts as text."""
    return "\n".join(f"{name:40} {value:>16}" for name, value in memory_stats(device).items())


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> None:
    """Have at most this part of a device's memory kept. ValueError unless it is between 0 and 1."""
    if not isinstance(fraction, float):
        raise TypeError("Invalid type for fraction argument, must be `float`")
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    pool = gpu(device).pool
    pool.limit = fraction * pool.info()[1]


def get_allocator_backend() -> str:
    """What the allocator is called: "native"."""
    return "native"


memory_cached, max_memory_cached = memory_reserved, max_memory_reserved
reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats
