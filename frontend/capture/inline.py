"""Watches that the generated fast call compares itself, by a line of its own each. One class per kind."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from ingot.capture.describe import Rebound, describe
from ingot.capture.reads import lookup, vars_of
from ingot.capture.watch import MISSING, InlineWatch, attribute, content, entry, in_words, is_same
from ingot.ir.struct import struct
from ingot.runtime.tape import GradSlot

if TYPE_CHECKING:
    from ingot.capture.lines import Lines

__all__ = [
    "AttributeIs", "CellIs", "ContextIs", "EntryHolds", "FoundIn", "FunctionIs", "GradIs", "GradIsNone", "ItemIs", "TableIs", "TypeIs",
    "Unshadowed",
]  # fmt: skip


@struct
class ItemIs(InlineWatch):
    """What a name stands for in a namespace: globals, builtins, the loaded modules, a class's own table."""

    space: Mapping[str, Any]
    name: str
    text: str
    value: Any

    def failed(self) -> str | None:
        now = entry(self.space, self.name)
        return None if is_same(now, self.value) else f"{self.text} is {in_words(now)}, it was {in_words(self.value)}"

    def lines(self, c: Lines) -> bool:
        if isinstance(self.space, dict) and type(self.space) is not dict:  # whose methods may be the user's
            c.need(f"{c.name(dict.get)}({c.name(self.space)}, {self.name!r}, MISS) is {c.name(self.value)}")
        elif self.value is MISSING:
            c.need(f"{self.name!r} not in {c.name(self.space)}")
        elif type(self.space) is dict:
            c.need_item(c.name(self.space), self.name, c.name(self.value))
        else:
            c.need(f"{c.name(self.space)}.get({self.name!r}, MISS) is {c.name(self.value)}")
        return True


@struct
class EntryHolds(InlineWatch):
    """What a table holds under a name: itself, or something that is described as it was."""

    table: dict[str, Any]
    name: str
    text: str
    value: Any
    seen: Any
    rebound: Rebound

    def failed(self) -> str | None:
        now = entry(self.table, self.name)
        if now is self.value or (now is not MISSING and describe(now, self.rebound) == self.seen):
            return None
        return f"{self.text} is {in_words(now)}, it was {in_words(self.value)}"

    def lines(self, c: Lines) -> bool:
        c.need_item(c.name(self.table), self.name, c.name(self.value))
        return True


@struct
class AttributeIs(InlineWatch):
    """What an attribute of an object, a class or a module is, wherever Python finds it."""

    of: Any
    name: str
    text: str
    value: Any

    def failed(self) -> str | None:
        now = attribute(self.of, self.name)
        return None if is_same(now, self.value) else f"{self.text} is {in_words(now)}, it was {in_words(self.value)}"

    def lines(self, c: Lines) -> bool:
        if self.value is MISSING:
            return False
        c.need_attribute(c.name(self.of), self.name, c.name(self.value))
        return True


@struct
class TableIs(InlineWatch):
    """In which dict an object holds its attributes: code reads and writes that one, and `__dict__` can be assigned."""

    of: Any
    table: dict[str, Any]

    def failed(self) -> str | None:
        return None if vars_of(self.of) is self.table else f"the __dict__ of a {type(self.of).__name__} is another one"

    def lines(self, c: Lines) -> bool:
        of, plain = c.name(self.of), type(self.of).__getattribute__ in (object.__getattribute__, FunctionType.__getattribute__)
        c.need_that(f"{of}.__dict__ is {c.name(self.table)}" if plain else f"{c.name(vars_of)}({of}) is {c.name(self.table)}")
        return True


@struct
class Unshadowed(InlineWatch):
    """That a dict of attributes has none of these names, which stand elsewhere. count: how many it has, in a list; while that is so, it
    has none."""

    table: dict[str, Any]
    text: str
    names: tuple[str, ...]
    count: list[int]

    def failed(self) -> str | None:
        found = next((n for n in self.names if n in self.table), None)
        if found is not None:
            return f"{self.text}.{found} is another one, put past the module's __setattr__"
        self.count[0] = len(self.table)
        return None

    def lines(self, c: Lines) -> bool:
        c.need(f"len({c.name(self.table)}) == {c.name(self.count)}[0]")
        return True


@struct
class FoundIn(InlineWatch):
    """In which of its bases a class has an attribute."""

    of: type
    name: str
    text: str
    base: type | None

    def failed(self) -> str | None:
        return None if lookup(self.of, self.name)[0] is self.base else f"{self.text} is an attribute of another class than it was"

    def lines(self, c: Lines) -> bool:
        for cls in self.of.__mro__[: self.of.__mro__.index(self.base)] if self.base is not None else self.of.__mro__:
            c.need(f"{self.name!r} not in {c.name(vars(cls))}")
        return True


@struct
class TypeIs(InlineWatch):
    """The class of an object."""

    of: Any
    kind: type

    def failed(self) -> str | None:
        now = type(self.of)
        return None if now is self.kind else f"a {self.kind.__name__} is a {now.__name__} now"

    def lines(self, c: Lines) -> bool:
        c.need(f"type({c.name(self.of)}) is {c.name(self.kind)}")
        return True


@struct
class FunctionIs(InlineWatch):
    """The code and the defaults of a function."""

    of: Any
    code: CodeType
    defaults: tuple | None
    keywords: dict | None

    def failed(self) -> str | None:
        f = self.of
        if f.__code__ is self.code and f.__defaults__ is self.defaults and f.__kwdefaults__ is self.keywords:
            return None
        return f"the function {f.__name__} has other {'defaults' if f.__code__ is self.code else 'code'} than it had"

    def lines(self, c: Lines) -> bool:
        f = c.name(self.of)
        c.need(f"{f}.__code__ is {c.name(self.code)} and {f}.__defaults__ is {c.name(self.defaults)}")
        if self.keywords is not None or self.code.co_kwonlyargcount:
            c.need(f"{f}.__kwdefaults__ is {c.name(self.keywords)}")
        return True


@struct
class ContextIs(InlineWatch):
    """The value of a context variable."""

    of: ContextVar
    value: Any

    def failed(self) -> str | None:
        now = self.of.get(MISSING)
        if is_same(now, self.value):
            return None
        return f"the context variable {self.of.name} is {in_words(now)}, it was {in_words(self.value)}"

    def lines(self, c: Lines) -> bool:
        if self.value is MISSING:
            return False
        c.need(f"{c.name(self.of)}.get(MISS) is {c.name(self.value)}")
        return True


@struct
class CellIs(InlineWatch):
    """A variable of an enclosing function."""

    cell: Any
    name: str
    value: Any

    def failed(self) -> str | None:
        now = content(self.cell)
        if is_same(now, self.value):
            return None
        return f"{self.name} of the enclosing function is {in_words(now)}, it was {in_words(self.value)}"

    def lines(self, c: Lines) -> bool:
        if self.value is MISSING:
            return False
        c.need(f"{c.name(self.cell)}.cell_contents is {c.name(self.value)}")
        return True


@struct
class GradIsNone(InlineWatch):
    """Whether a gradient is there."""

    slot: GradSlot
    was_none: bool

    def failed(self) -> str | None:
        is_none = self.slot.grad is None
        if is_none is self.was_none:
            return None
        return f"a gradient is {'None' if is_none else 'a tensor'}, it was {'None' if self.was_none else 'a tensor'}"

    def lines(self, c: Lines) -> bool:
        c.need(f"({c.name(self.slot)}.grad is None) is {self.was_none}")
        return True


@struct
class GradIs(InlineWatch):
    """Which tensor a gradient is, where it shares memory with others."""

    slot: GradSlot
    held: Any

    def failed(self) -> str | None:
        return None if self.slot.grad is self.held else "a gradient that shared memory with other tensors is another one"

    def lines(self, c: Lines) -> bool:
        c.need(f"{c.name(self.slot)}.grad is {c.name(self.held)}")
        return True
