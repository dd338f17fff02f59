"""The CPU as a device, by the names of torch.cpu: there is one, and it runs what is recorded in order."""

from __future__ import annotations

from typing import Any

__all__ = ["current_device", "device_count", "is_available", "is_initialized", "set_device", "synchronize"]


def is_available() -> bool:
    """True.

    >>> ingot.cpu.is_available(), ingot.cpu.device_count(), ingot.cpu.current_device()
    (True, 1, 'cpu')
    """
    return True


def is_initialized() -> bool:
    """True."""
    return True


def device_count() -> int:
    """1."""
    return 1


def current_device() -> str:
    """'cpu'."""
    return "cpu"


def set_device(device: Any) -> None:
    """Nothing: there is one."""


def synchronize(device: Any = None) -> None:
    """Compute what is pending in this thread."""
    from ingot.runtime.recorder import here

    here.recorder.flush()
