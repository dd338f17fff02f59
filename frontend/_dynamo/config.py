"""Settings of torch._dynamo: they can be set, and change nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

__all__ = ["patch"]

suppress_errors = capture_scalar_outputs = capture_dynamic_output_shape_ops = False
optimize_ddp = automatic_dynamic_shapes = True
cache_size_limit = recompile_limit = 8


@contextlib.contextmanager
def patch(changes: dict[str, Any] | None = None, /, **more: Any) -> Iterator[None]:
    """A block, or a decorator of a function, in which settings are others."""
    here = globals()
    before = dict(here)
    here.update(changes or {}, **more)
    try:
        yield
    finally:
        for name in here.keys() - before:
            del here[name]
        here.update(before)
