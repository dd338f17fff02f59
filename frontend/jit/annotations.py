"""What scripting reads of a source, and compiling does not: accepted, and without effect."""

from __future__ import annotations

import builtins
import functools
import types
import typing
from collections.abc import Callable
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union  # noqa: F401, UP035  (libraries take them from here)

from ingot._tensor import Tensor

__all__ = [
    "Attribute", "BroadcastingList1", "BroadcastingList2", "BroadcastingList3", "annotate", "export", "ignore", "interface", "is_scripting",
    "is_tracing", "isinstance", "script_if_tracing",
    "script_method", "unused",
]  # fmt: skip


def is_scripting() -> bool:
    """False: no source is ever read, so code behind `if not ingot.jit.is_scripting()` runs.

    >>> ingot.jit.is_scripting()
    False
    """
    return False


def is_tracing() -> bool:
    """False: what a compiled function reads of shapes are integers, so code needs no way around them. See `ingot.compiler.is_compiling`.

    >>> ingot.jit.is_tracing()
    False
    """
    return False


class Attribute(NamedTuple):
    """A value of a module and its type: `self.x = ingot.jit.Attribute(value, type)` is the pair."""

    value: Any
    type: Any


def annotate(the_type: Any, the_value: Any) -> Any:
    """`the_value`.

    >>> ingot.jit.annotate(list[int], [])
    []
    """
    return the_value


def export(fn: Callable) -> Callable:
    """`fn`: every method of a compiled module can be called."""
    return fn


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """A decorator that gives the function back: a compiled function calls it as any other."""
    return drop if callable(drop) else _same


def unused(fn: Any) -> Any:
    """`fn`: a compiled function calls it as any other."""
    return fn


def _same(fn: Any) -> Any:
    return fn


def interface(obj: type) -> type:
    """The class itself."""
    return obj


def script_method(fn: Callable) -> Callable:
    """`fn`: a method of a module is compiled where the module is."""
    return fn


def script_if_tracing(fn: Callable) -> Callable:
    """`fn`: it is compiled with whatever calls it."""
    return fn


class _BroadcastingList:
    """An annotation: a list of so many items, or one that stands for all of them."""

    def __getitem__(self, kind: Any) -> Any:
        return list[kind]


BroadcastingList1, BroadcastingList2, BroadcastingList3 = (_BroadcastingList() for _ in range(3))


_script_if_tracing = script_if_tracing  # the names that libraries use
_overload = _overload_method = _drop = _same


def _unwrap_optional(x: Any) -> Any:
    """`x`. AssertionError for None."""
    assert x is not None, "Unwrapping null optional"
    return x


def isinstance(obj: Any, target_type: Any) -> bool:
    """Whether `obj` is of a type, items of lists, tuples and dicts included: `list[int]`, `Optional[Tensor]`, or a tuple of types.

    >>> ingot.jit.isinstance([1, 2], list[int]), ingot.jit.isinstance(["1"], list[int])
    (True, False)
    """
    if builtins.isinstance(target_type, tuple):
        return any(isinstance(obj, t) for t in target_type)
    origin, of = typing.get_origin(target_type), typing.get_args(target_type)
    if target_type is Any:
        return True
    if target_type is None:
        return obj is None
    if origin is typing.Union or origin is types.UnionType:
        return any(isinstance(obj, t) for t in of)
    if origin is None:
        return builtins.isinstance(obj, Tensor if target_type is Tensor else target_type)
    if not builtins.isinstance(obj, origin):
        return False
    if origin is tuple:
        if len(of) == 2 and of[1] is Ellipsis:
            return all(isinstance(x, of[0]) for x in obj)
        return len(of) == len(obj) and all(map(isinstance, obj, of))
    if origin is dict:
        return all(isinstance(k, of[0]) and isinstance(v, of[1]) for k, v in obj.items())
    return all(isinstance(x, functools.reduce(lambda a, b: a | b, of)) for x in obj)
