"""Attributes that are in no `__dict__`: those in `__slots__`, as a table like it."""

from __future__ import annotations

import types
from collections.abc import Iterator, MutableMapping
from typing import Any

__all__ = ["Slots"]


class Slots(MutableMapping):
    """What the slots of `x` hold that `classes`, of its own, declare. Reading and writing goes around what `x` makes of attributes."""

    def __init__(self, x: Any, classes: list[type]):
        self.of = self._x = x
        self.names = {n: d for c in classes for n, d in vars(c).items() if isinstance(d, types.MemberDescriptorType)}

    def __getitem__(self, name: str) -> Any:
        try:
            return self.names[name].__get__(self._x)
        except AttributeError:
            raise KeyError(name) from None

    def __setitem__(self, name: str, value: Any) -> None:
        self.names[name].__set__(self._x, value)

    def __delitem__(self, name: str) -> None:
        self.names[name].__delete__(self._x)

    def __iter__(self) -> Iterator[str]:
        return iter([n for n in self.names if n in self])

    def __len__(self) -> int:
        return len(list(iter(self)))
