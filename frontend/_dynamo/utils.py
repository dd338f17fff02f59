"""The names of torch._dynamo.utils that libraries use."""

from __future__ import annotations

from typing import Any

__all__ = ["is_compile_supported"]


def is_compile_supported(device_type: Any) -> bool:
    """Whether functions are compiled for a kind of device.

    >>> ingot._dynamo.utils.is_compile_supported("cpu")
    True
    """
    return device_type == "cpu"
