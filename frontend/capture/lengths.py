"""`len` while a function is traced with symbolic sizes: of a tensor it gives an extent that remembers, which the builtin cannot."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ingot._tensor import Tensor
from ingot.runtime.recorder import here

__all__ = ["LEN", "length", "measured"]

LEN = len


def length(x: Any, /) -> Any:
    """`len(x)`."""
    if isinstance(x, Tensor) and x._array.type.symbolic and here.recorder.extents is not None:
        return x.shape[0]
    return LEN(x)


@contextmanager
def measured() -> Iterator[None]:
    """A block in which `len` is `length`. It is the builtin all the same for those that watch names."""
    builtins.len = length
    try:
        yield
    finally:
        builtins.len = LEN
