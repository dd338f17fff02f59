"""What libraries register their own operators for torch's exporter with: accepted, and never called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["parse_args", "quantized_args"]


def parse_args(*descriptors: str) -> Callable[[Callable], Callable]:
    """A decorator that gives the function back.

    >>> ingot.onnx.symbolic_helper.parse_args("v", "f")(len) is len
    True
    """
    return lambda fn: fn


def quantized_args(*descriptors: Any, **options: Any) -> Callable[[Callable], Callable]:
    """A decorator that gives the function back."""
    return lambda fn: fn
