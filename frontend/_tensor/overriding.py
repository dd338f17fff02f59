"""What `__torch_function__` needs below: whether arguments are asked, and the class attribute of those that are not. See overrides.py."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

__all__ = ["DisableTorchFunctionSubclass", "disabled_torch_function", "operands", "spread", "state"]
F = TypeVar("F", bound=Callable)


class _State(threading.local):
    subclasses = True  # whether arguments are asked
    modes: tuple[Any, ...] = ()  # the blocks in force, innermost last


state = _State()


class DisableTorchFunctionSubclass:
    """A block in which arguments are not asked: they are taken as Tensors."""

    def __enter__(self) -> None:
        self._was, state.subclasses = state.subclasses, False

    def __exit__(self, *exc: object) -> None:
        state.subclasses = self._was


def disabled_torch_function(func: Callable, types: Sequence[type], args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
    """What a class has for `__torch_function__` that is treated as a Tensor."""
    with DisableTorchFunctionSubclass():
        return func(*args, **(kwargs or {}))


def spread(fn: F) -> F:
    """Mark a function whose operands may be one list after the first argument: who is asked, and a graph, sees each, as in torch."""
    setattr(fn, "spread", True)  # noqa: B010  (mypy refuses the assignment)
    return fn


def operands(fn: Callable, args: tuple) -> tuple:
    """The arguments of a call as they are shown."""
    if hasattr(fn, "spread") and len(args) == 2 and isinstance(args[1], (list, tuple)):
        return (args[0], *args[1])
    return args
