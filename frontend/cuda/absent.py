"""What needs a CUDA device, of which there is none: names that can be imported, and say so when they are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from ingot import _refused

__all__ = ["NO_DEVICE", "refused", "refused_class"]

NO_DEVICE = "no CUDA device is available; tensors live on 'cpu'"


def refused(name: str) -> Callable[..., NoReturn]:
    """The function of that name."""
    return _refused.refused(f"cuda.{name}", NO_DEVICE)


def refused_class(name: str) -> Any:
    """The class of that name, which has no instances."""
    return _refused.refused_class(f"cuda.{name}", NO_DEVICE)
