"""Calls of functions in other processes: not available. Names that answer: ingot._answering says which."""

from __future__ import annotations

from typing import Any

from ingot._answering import answering

__all__ = ["is_available"]


def is_available() -> bool:
    """False.

    >>> ingot.distributed.rpc.is_available()
    False
    """
    return False


def __getattr__(name: str) -> Any:
    return answering("distributed.rpc", name)
