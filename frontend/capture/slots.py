"""Attributes that are in no `__dict__` which can be written: those in `__slots__`, and a class's own, as tables like it."""

from __future__ import annotations

import types
from collections.abc import Iterator, MutableMapping
from typing import Any

__all__ = ["OfClass", "Slots"]


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


class OfClass(MutableMapping):
    """The attributes that the class `of` has itself, but for those that are Python's. Writing goes around its metaclass."""

    def __init__(self, of: type):
        self.of = of

    def __getitem__(self, name: str) -> Any:
        return vars(self.of)[name]

    def __setitem__(self, name: str, value: Any) -> None:
        type.__setattr__(self.of, name, value)

    def __delitem__(self, name: str) -> None:
        type.__delattr__(self.of, name)

    def __iter__(self) -> Iterator[str]:
        return iter([n for n in vars(self.of) if n[:2] != "__"])

    def __len__(self) -> int:
        return len(list(iter(self)))
