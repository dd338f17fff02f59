"""What a function looks at while it is traced: attributes of Modules and of other objects, settings of an optimizer's groups.

A guard on state that a call never looks at would only compile again for nothing: a step counter, a list of losses, the
metrics of a training loop. So the classes of what a function can reach note every lookup for the time of the trace.
"""

from __future__ import annotations

import sys
from abc import ABCMeta
from collections.abc import Callable, Iterable
from typing import Any

from ingot.runtime.recorder import ours

__all__ = ["EVERYTHING", "Reads"]

EVERYTHING = "__dict__"  # a lookup of this name reads all attributes


class Reads:
    """Notes lookups on `objects` and parameter groups in its `with` block. `of(x)` are the names, None where they cannot be known.

    >>> settings = type("Settings", (), {"width": 8})()
    >>> with Reads([settings]) as reads:
    ...     settings.width
    8
    >>> reads.of(settings)
    {'width'}
    """

    def __init__(self, objects: Iterable[Any]):
        self.names: dict[int, set[str]] = {}
        self._objects = list(objects)
        self._known: set[int] = set()
        self._patched: list[tuple[type, str, Any]] = []

    def of(self, x: Any) -> set[str] | None:
        """The names looked up on `x`; None if any may have been."""
        names = self.names.get(id(x), set())
        return names if id(x) in self._known and EVERYTHING not in names else None

    def __enter__(self) -> Reads:
        watched: set[type] = set()
        try:
            for x in self._objects:
                if self._watch(_owner(type(x)), watched):
                    self._known.add(id(x))
            self._watch_groups()
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(self, *exc: Any) -> None:
        self._restore()

    def _watch(self, cls: type, watched: set[type]) -> bool:
        """Have `cls` note lookups; False if it has a way of its own."""
        if any(base in watched for base in cls.__mro__):
            return all("__getattribute__" not in vars(b) or b in watched for b in cls.__mro__[:-1])
        if type(cls) not in (type, ABCMeta) or cls.__getattribute__ is not object.__getattribute__:
            return False
        names, mark = self.names, len(self._patched)

        def get(self: Any, name: str) -> Any:
            if name != EVERYTHING or not ours(sys._getframe(1).f_code.co_filename):
                names.setdefault(id(self), set()).add(name)
            return object.__getattribute__(self, name)

        try:
            self._patch(cls, "__getattribute__", get)
            self._patch(cls, "__setattr__", _noting(names, cls.__setattr__))
            self._patch(cls, "__delattr__", _noting(names, cls.__delattr__))
        except (TypeError, AttributeError):  # a class that cannot be changed
            self._restore(mark)
            return False
        watched.add(cls)
        return True

    def _watch_groups(self) -> None:
        """Have parameter groups note what the user reads: an optimizer of Ingot's own reads its numbers at every call."""
        from ingot.optim.group import ParamGroup

        def noting(method: Callable) -> Callable:
            def looking(group: Any, *args: Any) -> Any:
                if not ours(sys._getframe(1).f_code.co_filename):
                    self.names.setdefault(id(group), set()).add(args[0] if args else EVERYTHING)
                return method(group, *args)

            return looking

        for name in ("__getitem__", "get", "__iter__", "items", "values", "copy"):
            self._patch(ParamGroup, name, noting(getattr(ParamGroup, name)))

    def settings(self, group: Any) -> set[str]:
        """The keys of a parameter group that the user's code has read."""
        names = self.names.get(id(group), set())
        return set(dict.keys(group)) if EVERYTHING in names else names

    def _patch(self, cls: type, name: str, method: Callable) -> None:
        old = vars(cls).get(name)
        setattr(cls, name, method)
        self._patched.append((cls, name, old))

    def _restore(self, down_to: int = 0) -> None:
        while len(self._patched) > down_to:
            cls, name, old = self._patched.pop()
            if old is None:
                delattr(cls, name)
            else:
                setattr(cls, name, old)


def _owner(cls: type) -> type:
    """The class to change: Module for all Modules, else the class itself."""
    from ingot.nn.modules.module import Module

    return Module if issubclass(cls, Module) and cls.__getattribute__ is Module.__getattribute__ else cls


def _noting(names: dict[int, set[str]], method: Callable) -> Callable:
    """`__setattr__` or `__delattr__` that notes the name first: what a call writes must be looked at too."""

    def noting(self: Any, name: str, *value: Any) -> None:
        names.setdefault(id(self), set()).add(name)
        method(self, name, *value)

    return noting
