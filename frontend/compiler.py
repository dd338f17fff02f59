"""Questions about `ingot.compile`, by the names of torch.compiler."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ingot.capture import compile as compile
from ingot.runtime.recorder import capturing, here

__all__ = [
    "allow_in_graph", "assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable", "is_compiling", "is_dynamo_compiling",
    "is_exporting", "list_backends", "reset", "substitute_in_graph",
]  # fmt: skip


def is_compiling() -> bool:
    """Whether a function is being traced for `ingot.compile` or `ingot.export`.

    >>> ingot.compiler.is_compiling()
    False
    """
    return capturing()


def is_dynamo_compiling() -> bool:
    """As `is_compiling`."""
    return capturing()


def is_exporting() -> bool:
    """False: exporting is tracing, see `is_compiling`."""
    return False


def disable(fn: Callable | None = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """A function that is not compiled. CaptureError where a compiled function calls it: there is one graph, without a gap.

    >>> ingot.compiler.disable(lambda x: x + 1)(ingot.ones(1))
    tensor([2.])
    """
    if fn is None:
        return functools.partial(disable, recursive=recursive, reason=reason)

    @functools.wraps(fn)
    def called(*args: Any, **kwargs: Any) -> Any:
        name = getattr(fn, "__name__", "a function")
        here.recorder.only_outside(f"{name} is not compiled (compiler.disable), and a compiled function calls it", "call it outside")
        return fn(*args, **kwargs)

    return called


def allow_in_graph(fn: Any) -> Any:
    """`fn`: a compiled function traces whatever it calls."""
    return fn


def assume_constant_result(fn: Any) -> Any:
    """`fn`: what it reads is watched, so that its result need not be assumed."""
    return fn


def substitute_in_graph(original_fn: Any, **options: Any) -> Any:
    """A decorator that gives the function back: a compiled function traces the original itself."""
    return lambda traceable: traceable


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """The backends that `ingot.compile` takes by name: "inductor" stands for its own.

    >>> ingot.compiler.list_backends()
    ['inductor']
    """
    return ["inductor"]


def cudagraph_mark_step_begin() -> None:
    """Nothing: memory that a compiled call returned is not written again."""


def reset() -> None:
    """Nothing: a compiled function forgets its code when it goes itself, and code is right for whatever it is called with."""
