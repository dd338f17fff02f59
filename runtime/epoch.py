"""The process-wide epoch: a count that every write to a Module or a parameter group bumps.

A compiled function whose guards were checked in the present epoch need not check them again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["EPOCH", "bump", "bumping"]

_DICT = ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update")
_LIST = (
    "__setitem__", "__delitem__", "__iadd__", "__imul__", "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort",
)  # fmt: skip

EPOCH = [0]  # a list, so that readers can hold on to it


def bump() -> None:
    """Something that compiled functions may have looked at has changed."""
    EPOCH[0] += 1


def bumping(base: type) -> Callable[[type], type]:
    """A class decorator: the methods of `base`, a dict or a list, that change it bump the epoch first."""

    def decorate(cls: type) -> type:
        for name in _LIST if issubclass(base, list) else _DICT:
            if name not in vars(cls):
                setattr(cls, name, _bumps(getattr(base, name)))
        return cls

    return decorate


def _bumps(method: Callable) -> Callable:
    def changing(self: Any, *args: Any, **kwargs: Any) -> Any:
        bump()
        return method(self, *args, **kwargs)

    changing.__name__, changing.__doc__ = method.__name__, method.__doc__
    return changing
