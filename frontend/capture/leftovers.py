"""What a function does to Python's state that no write repeats: objects that it assigns, what it deletes, orders, sets, arrays.

The calls that code serves would have to do the same. They are those that find it done already; where it is not, the function is traced
again, and does it.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextvars import copy_context
from enum import Enum
from types import BuiltinFunctionType, CellType, FunctionType, ModuleType
from typing import Any

import numpy as np

from ingot.capture.describe import PLAIN, describe
from ingot.capture.places import Elsewhere, InCell, InTable
from ingot.capture.watch import MISSING, NOTHING, Container, Watch, content, entry
from ingot.ir.struct import struct

__all__ = ["KeysAre", "Once", "Surroundings", "changed", "is_constant", "reordered", "where_stood"]

Before = Sequence[tuple[MutableMapping, dict, Any]]  # tables, what they held, and whose they are


@struct
class KeysAre(Watch):
    """The keys of a dict, and their order."""

    table: Mapping[Any, Any]
    text: str
    keys: tuple[Any, ...]

    def failed(self) -> str | None:
        return None if tuple(self.table) == self.keys else f"the keys of {self.text} stand in another order"


@struct
class Once(Watch):
    """What the function does and no code can: it is traced at each call."""

    text: str

    def failed(self) -> str | None:
        return f"the function {self.text}, which it does itself"


class Surroundings:
    """What stands in no table, before a function is traced: the code and defaults of `functions`, the environment, context variables."""

    def __init__(self, functions: Sequence[FunctionType]):
        self._functions = [(f, f.__code__, f.__defaults__, f.__kwdefaults__) for f in functions]
        self._environment = dict(os.environ)
        self._context = copy_context()

    def changed(self) -> Iterator[Watch]:
        """What the function has changed there."""
        for f, code, defaults, keywords in self._functions:
            if f.__code__ is not code or f.__defaults__ is not defaults or f.__kwdefaults__ is not keywords:
                yield Once(f"gives {f.__name__} other code or defaults")
        if os.environ != self._environment:
            yield Once("changes the environment")
        for variable, value in copy_context().items():
            if self._context.get(variable, MISSING) is not value:
                yield Once(f"sets the context variable {variable.name}")

    def undo(self) -> None:
        """Make it as it was, but for context variables that had no value."""
        for f, code, defaults, keywords in self._functions:
            if f.__code__ is not code or f.__defaults__ is not defaults or f.__kwdefaults__ is not keywords:
                f.__code__, f.__defaults__, f.__kwdefaults__ = code, defaults, keywords
        if os.environ != self._environment:
            for name in [n for n in os.environ if n not in self._environment]:
                del os.environ[name]
            os.environ.update(self._environment)
        for variable, value in self._context.items():
            if variable.get(MISSING) is not value:
                variable.set(value)


def changed(
    tables: Before, names: Sequence[tuple[dict, str, Any]], cells: Sequence[tuple[CellType, str, Any]]
) -> Iterator[tuple[Elsewhere, Any, Any]]:
    """Entries and variables that hold something else than they did: what they held, and what they hold; MISSING for nothing."""
    for table, before, owner in tables:
        for key in {**before, **table}:
            old, now = before.get(key, MISSING), entry(table, key)
            if now is not old:
                yield InTable(table, key, f"{type(owner).__name__}.{key}"), old, now
    for space, name, old in names:
        if (now := space.get(name, MISSING)) is not old:
            yield InTable(space, name, name), old, now
    for cell, name, old in cells:
        if (now := content(cell)) is not old:
            yield InCell(cell, name), old, now


def where_stood(moves: Sequence[tuple[Elsewhere, Any, Any]], now: Any) -> list[Elsewhere]:
    """The places among those of `changed` that held an object which may change, or another of its class take its place."""
    if now is MISSING or isinstance(now, PLAIN) or is_constant(now):
        return []
    return [place for place, old, _ in moves if old is now]


def is_constant(x: Any) -> bool:
    """Whether every call would assign this very object: it is not made anew, and cannot change."""
    return isinstance(x, (Enum, type, FunctionType, BuiltinFunctionType, ModuleType))


def reordered(tables: Before, others: Sequence[tuple[Any, Any]]) -> Iterator[Watch]:
    """Dicts that have another order, and sets and arrays that hold something else, as they are now."""
    for table, before, owner in tables:
        if type(table) in (dict, OrderedDict) and table.keys() == before.keys() and list(table) != list(before):
            yield KeysAre(table, f"a {type(owner).__name__}", tuple(table))
    for x, was in others:
        if not isinstance(x, (list, deque, dict)) and _differs(x, was):
            yield Container(x, f"a {type(x).__name__}", describe(x), NOTHING)


def _differs(x: Any, before: Any) -> bool:
    if isinstance(x, np.ndarray):
        return x is not before and (x.shape != before.shape or x.tobytes() != before.tobytes())
    return bool(x != before)
