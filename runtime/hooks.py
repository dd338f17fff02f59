"""Handles of registered hooks."""

from __future__ import annotations

from itertools import count
from typing import Any

from ingot.runtime.epoch import bump

__all__ = ["Handle"]

_keys = count(1)


class Handle:
    """What `register_*hook` returns: `remove()` takes the hook off again."""

    def __init__(self, table: dict, hook: Any):
        self._table = table
        self._key = next(_keys)
        table[self._key] = hook

    def remove(self) -> None:
        """Take the hook off; nothing the second time."""
        if self._table.pop(self._key, None) is not None:
            bump()  # a compiled function may have called it

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.remove()
