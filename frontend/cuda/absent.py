"""What needs a CUDA device, of which there is none: names that can be imported, and say so when they are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["NO_DEVICE", "refused", "refused_class"]

NO_DEVICE = "no CUDA device is available; tensors live on 'cpu'"


def refused(name: str) -> Callable[..., NoReturn]:
    """The function of that name."""

    def function(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(f"cuda.{name}: {NO_DEVICE}")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "RuntimeError: there is no CUDA device."
    return function


def refused_class(name: str) -> Any:
    """The class of that name, which has no instances."""

    def __new__(cls: type, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(f"cuda.{name}: {NO_DEVICE}")

    return type(name, (), {"__new__": __new__, "__doc__": "RuntimeError: there is no CUDA device.", "__module__": "ingot.cuda"})
