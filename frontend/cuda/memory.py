"""The memory of CUDA devices, of which nothing is used. `ingot.memory_stats` tells of the CPU's."""

from __future__ import annotations

from typing import Any

__all__ = [
    "empty_cache", "max_memory_allocated", "max_memory_cached", "max_memory_reserved", "memory_allocated", "memory_cached",
    "memory_reserved", "memory_stats", "reset_max_memory_allocated", "reset_max_memory_cached", "reset_peak_memory_stats",
]  # fmt: skip


def memory_allocated(device: Any = None) -> int:
    """Bytes that tensors have on a CUDA device: 0."""
    return 0


def empty_cache() -> None:
    """Give back memory of CUDA devices that is kept: there is none. `ingot.empty_cache` gives back the CPU's.

    >>> ingot.cuda.empty_cache()
    """


def reset_peak_memory_stats(device: Any = None) -> None:
    """Forget the most bytes that tensors had: there were none."""


def memory_stats(device: Any = None) -> dict[str, Any]:
    """Counts of memory on a CUDA device: {}."""
    return {}


max_memory_allocated = max_memory_reserved = max_memory_cached = memory_reserved = memory_cached = memory_allocated
reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats
