"""Lookups of attributes while a function is traced: the classes of watched objects tell them."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from functools import cached_property
from types import FunctionType, MemberDescriptorType
from typing import Any

from ingot.runtime.recorder import ours

__all__ = ["EVERYTHING", "PATCHED", "Reads", "function_of", "lookup", "slots_of", "vars_of"]

PATCHED = ("__getattribute__", "__setattr__", "__delattr__")
EVERYTHING = "__dict__"  # a lookup of this name reads all attributes


class Reads:
    """Tells `note(object, name)` of the first lookup, or assignment before it is made, of a name on the objects given to `watch`.

    >>> settings = type("Settings", (), {"width": 8})()
    >>> reads = Reads(lambda x, name: print("read", name))
    >>> reads.watch(settings)
    True
    >>> settings.width
    read width
    8
    >>> reads.stop()
    """

    def __init__(self, note: Callable[[Any, str], None]):
        self._note = note
        self._known: set[int] = set()
        self._told: set[tuple[int, str]] = set()
        self._kept: list[Any] = []  # an id is an object's as long as it lives
        self._thread = threading.get_ident()
        self._busy = False
        self._patched: list[tuple[type, str, Any]] = []
        self._classes: dict[type, bool] = {}
        self._ways: list[Any] = []  # the methods put in
        self.settings: dict[int, set[str]] = {}  # the keys of parameter groups that the user's code has read, by the group's id
        _watch_groups()
        _LATEST[:] = [weakref.ref(self)]

    def watch(self, x: Any) -> bool:
        """Have lookups on an object told; False if its class has a way of its own, or cannot be changed."""
        cls = type(x)
        told = self._classes.get(cls)
        if told is None:
            told = self._classes[cls] = self._watch_class(_owner(cls))
        if told:
            self._known.add(id(x))
            self._kept.append(x)
        return told

    def stop(self) -> None:
        """Have nothing told any more; the classes are as they were."""
        while self._patched:
            cls, name, old = self._patched.pop()
            if old is None:
                type.__delattr__(cls, name)
            else:
                type.__setattr__(cls, name, old)
        _LATEST.clear()
        for held in (self._kept, self._known, self._told, self._ways, self._classes):
            held.clear()  # type: ignore[attr-defined]

    def _tell(self, x: Any, name: str) -> None:
        if id(x) in self._known and not self._busy and threading.get_ident() == self._thread:
            self._busy = True
            try:
                self._note(x, name)
                self._told.add((id(x), name))
            finally:
                self._busy = False

    def _watch_class(self, cls: type) -> bool:
        if cls.__getattribute__ in self._ways:
            return True
        if cls.__getattribute__ is not object.__getattribute__:
            return False
        tell, told, known = self._tell, self._told, self._known

        def get(x: Any, name: str) -> Any:
            key = id(x)
            if key in known and (key, name) not in told and (name != EVERYTHING or not ours(sys._getframe(1).f_code.co_filename)):
                tell(x, name)
            return object.__getattribute__(x, name)

        def noting(method: Callable) -> Callable:
            def changing(x: Any, name: str, *value: Any) -> None:
                tell(x, name)
                method(x, name, *value)

            return changing

        try:
            self._patch(cls, "__getattribute__", get)
        except (TypeError, AttributeError):  # a class that cannot be changed
            return False
        self._ways.append(get)
        self._patch(cls, "__setattr__", noting(cls.__setattr__))
        self._patch(cls, "__delattr__", noting(cls.__delattr__))
        return True

    def _patch(self, cls: type, name: str, method: Any) -> None:
        old = vars(cls).get(name)
        type.__setattr__(cls, name, method)
        self._patched.append((cls, name, old))


_LATEST: list[weakref.ref[Reads]] = []  # those of the trace that goes on
_GROUPS: list[type] = []  # the class of parameter groups, once it tells what is read


def _watch_groups() -> None:
    """Have parameter groups note what the user reads: an optimizer of Ingot's own reads its numbers at every call.

    Their class is changed once, for good: when a class has changed a thousand times, Python 3.13 calls a `__getitem__` that it had before.
    """
    group = sys.modules.get("ingot.optim.group")
    if group is None or _GROUPS:
        return
    _GROUPS.append(group.ParamGroup)

    def noting(method: Callable) -> Callable:
        def looking(group: Any, *args: Any) -> Any:
            reads = _LATEST[0]() if _LATEST else None
            if reads is not None and not ours(sys._getframe(1).f_code.co_filename):
                reads.settings.setdefault(id(group), set()).update(args[:1] or dict.keys(group))
            return method(group, *args)

        return looking

    for name in ("__getitem__", "get", "__iter__", "items", "values", "copy"):
        setattr(group.ParamGroup, name, noting(getattr(group.ParamGroup, name)))


def _owner(cls: type) -> type:
    """The class to change: Module for all Modules, else the class itself."""
    from ingot.nn.modules.module import Module

    return Module if issubclass(cls, Module) and cls.__getattribute__ is Module.__getattribute__ else cls


def lookup(cls: type, name: str) -> tuple[type | None, Any]:
    """The class among the bases of `cls` that has an attribute, and what it holds, as it is stored; (None, None) where none has.

    >>> lookup(bool, "real")[0]
    <class 'int'>
    """
    for base in cls.__mro__:
        if name in vars(base):
            return base, vars(base)[name]
    return None, None


def function_of(item: Any) -> FunctionType | None:
    """The function that a method, a static or class method or a property in the table of a class is made of."""
    if isinstance(item, (staticmethod, classmethod)):
        item = item.__func__
    elif isinstance(item, property):
        item = item.fget
    elif isinstance(item, cached_property):
        item = item.func
    return item if isinstance(item, FunctionType) else None


def vars_of(x: Any) -> dict[str, Any] | None:
    """The attributes that an object holds itself, without asking its class; None where it has no such table."""
    try:
        found = x.__dict__ if type(x) is threading.local else object.__getattribute__(x, "__dict__")
    except (AttributeError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def slots_of(cls: type) -> list[str]:
    """The names of the slots of a class."""
    return [n for base in cls.__mro__ for n, v in vars(base).items() if isinstance(v, MemberDescriptorType)]
