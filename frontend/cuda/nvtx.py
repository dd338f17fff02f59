"""Ranges for NVIDIA's profiler, which sees none: accepted, and without effect. `ingot.profiler.record_function` makes ranges that are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

__all__ = ["mark", "range", "range_pop", "range_push"]

_depth = [0]


def range_push(msg: str) -> int:
    """Open a range: how deep it is.

    >>> ingot.cuda.nvtx.range_push("forward"), ingot.cuda.nvtx.range_pop()
    (0, 0)
    """
    _depth[0] += 1
    return _depth[0] - 1


def range_pop() -> int:
    """Close the innermost range: how deep it was; -1 where there is none."""
    if not _depth[0]:
        return -1
    _depth[0] -= 1
    return _depth[0]


def mark(msg: str) -> None:
    """Nothing."""


@contextlib.contextmanager
def range(msg: str, *args: Any, **kwargs: Any) -> Iterator[None]:
    """A block as a range."""
    range_push(msg)
    try:
        yield
    finally:
        range_pop()
