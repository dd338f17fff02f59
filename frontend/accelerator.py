"""The accelerator beside the CPU: CUDA devices where there are some."""

from __future__ import annotations

from typing import Any

from ingot import cuda
from ingot._tensor.devices import device
from ingot.cuda.memory import (
    empty_cache,
    max_memory_allocated,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_reserved,
    memory_stats,
    reset_peak_memory_stats,
)

__all__ = [
    "current_accelerator", "current_device_idx", "current_device_index", "current_stream", "device_count", "empty_cache",
    "get_memory_info", "is_available", "max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved", "memory_stats",
    "reset_peak_memory_stats", "set_device_idx", "set_device_index", "set_stream", "synchronize",
]  # fmt: skip


def is_available() -> bool:
    """Whether there is one.

    >>> ingot.accelerator.is_available()
    False
    """
    return cuda.is_available()


def device_count() -> int:
    """How many there are."""
    return cuda.device_count()


def current_accelerator(check_available: bool = False) -> device | None:
    """The kind of device that there is, "cuda"; None where there is none.

    >>> (ingot.accelerator.current_accelerator() or ingot.device("cpu")).type
    'cpu'
    """
    return device("cuda") if cuda.is_available() else None


def synchronize(device: Any = None) -> None:
    """Wait for all that was put into the streams of one."""
    cuda.synchronize(device)


def current_device_index() -> int:
    """The number of the present one. RuntimeError where there is none."""
    return cuda.current_device()


def set_device_index(device: Any) -> None:
    """Make one the present one. RuntimeError where there is none."""
    cuda.set_device(device)


def current_stream(device: Any = None) -> Any:
    """The present stream of one. RuntimeError where there is none."""
    return cuda.current_stream(device)


def set_stream(stream: Any) -> None:
    """Make a stream the present one."""
    cuda.set_stream(stream)


get_memory_info = mem_get_info
current_device_idx, set_device_idx = current_device_index, set_device_index
