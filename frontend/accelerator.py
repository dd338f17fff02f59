"""The accelerator beside the CPU: there is none."""

from __future__ import annotations

from typing import Any

from ingot._tensor.devices import device
from ingot.cuda.memory import (
    max_memory_allocated,
    max_memory_reserved,
    memory_allocated,
    memory_reserved,
    memory_stats,
    reset_peak_memory_stats,
)

__all__ = [
    "current_accelerator", "current_device_idx", "current_device_index", "current_stream", "device_count", "empty_cache",
    "get_memory_info", "is_available", "max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved", "memory_stats",
    "reset_peak_memory_stats", "set_device_idx", "set_device_index", "synchronize",
]  # fmt: skip

_NONE = "there is no accelerator; tensors live on 'cpu'"


def is_available() -> bool:
    """False.

    >>> ingot.accelerator.is_available()
    False
    """
    return False


def device_count() -> int:
    """0."""
    return 0


def current_accelerator(check_available: bool = False) -> device | None:
    """None.

    >>> (ingot.accelerator.current_accelerator() or ingot.device("cpu")).type
    'cpu'
    """
    return None


def synchronize(device: Any = None) -> None:
    """Wait for an accelerator: there is none to wait for."""


def empty_cache() -> None:
    """Give back an accelerator's memory that is kept: there is none."""


def current_device_index() -> int:
    """RuntimeError: there is no accelerator."""
    raise RuntimeError(f"accelerator.current_device_index: {_NONE}")


def set_device_index(device: Any) -> None:
    """RuntimeError: there is no accelerator."""
    raise RuntimeError(f"accelerator.set_device_index: {_NONE}")


def current_stream(device: Any = None) -> Any:
    """RuntimeError: there is no accelerator."""
    raise RuntimeError(f"accelerator.current_stream: {_NONE}")


def get_memory_info(device: Any = None) -> Any:
    """RuntimeError: there is no accelerator."""
    raise RuntimeError(f"accelerator.get_memory_info: {_NONE}")


current_device_idx, set_device_idx = current_device_index, set_device_index
