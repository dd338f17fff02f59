"""Questions about `ingot.compile`, by the names of torch.compiler."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ingot.capture import compile as compile
from ingot.runtime.recorder import capturing, here

__all__ = ["compile", "disable", "is_compiling", "is_dynamo_compiling", "is_exporting"]


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
