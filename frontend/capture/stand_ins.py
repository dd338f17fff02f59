"""What stands in for Python's own functions while a function is traced with run-time numbers: they give what remembers, and these cannot.

`len` and the functions of `math` are exchanged for all, and are the plain ones to all that is no number which remembers: such numbers
live in the tracing thread alone; `int`, `float`, and what a module has imported from `math` by name, in the
namespaces of those functions that run, for there code may ask whether something is the class `int` itself.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

from ingot._tensor import Tensor
from ingot._tensor.extents import Extent
from ingot._tensor.reals import MATH, Real, applied
from ingot.capture.codes import nested
from ingot.runtime.recorder import here

__all__ = ["LEN", "Namespaces", "length", "measured", "named"]

LEN = len
_KINDS = (Extent, Real)


def length(x: Any, /) -> Any:
    """`len(x)`."""
    if isinstance(x, Tensor) and x._array.type.symbolic and here.recorder.extents is not None:
        return x.shape[0]
    return LEN(x)


length.__name__ = length.__qualname__ = "len"
length.__module__ = "builtins"


def _of_math(name: str) -> Callable[..., Any]:
    plain = getattr(math, name)

    def function(*args: Any) -> Any:
        return applied(name, *args) if any(type(a) in _KINDS for a in args) else plain(*args)

    function.__name__ = function.__qualname__ = name  # another thread may see it meanwhile, and pickle it: by the name of the plain one
    function.__module__ = "math"
    return function


_PLAIN = {n: getattr(math, n) for n in MATH}
_MATH = {n: _of_math(n) for n in MATH}
_BY_PLAIN = {_PLAIN[n]: _MATH[n] for n in MATH}


class _Kind(type):
    """The class of a class that stands for `plain`."""

    plain: Any
    make: Callable[[Any], Any]

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs:
            x = args[0]
            if isinstance(x, Tensor) and here.recorder.measures:
                x = x.item()
            if type(x) in _KINDS:
                return cls.make(x)
        return cls.plain(*args, **kwargs)

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, cls.plain)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, cls.plain)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is cls.plain

    def __hash__(cls) -> int:
        return hash(cls.plain)


class _Int(int, metaclass=_Kind):
    plain = int
    make = staticmethod(lambda x: x if type(x) is Extent else x.__trunc__())


class _Float(float, metaclass=_Kind):
    plain = float
    make = staticmethod(lambda x: x if type(x) is Real else x.as_float())


_CLASSES = {"int": _Int, "float": _Float}
_ORIGINALS = {id(a): b for a, b in ((length, LEN), *((_MATH[n], _PLAIN[n]) for n in MATH), (_Int, int), (_Float, float))}


def named(x: Any) -> Any:
    """What a stand-in stands for; anything else as it is."""
    return _ORIGINALS.get(id(x), x)


class Namespaces:
    """The namespaces in which stand-ins are put, until `leave`."""

    def __init__(self) -> None:
        self._put: list[tuple[dict[str, Any], str, Any]] = []
        self._safe: dict[int, bool] = {}

    def enter(self, code: CodeType, space: dict[str, Any]) -> None:
        """Before a function runs that looks up its globals in `space`."""
        for n in code.co_names:
            if n in _CLASSES:
                if n not in space and self._is_safe(code, space):
                    self._put.append((space, n, None))
                    space[n] = _CLASSES[n]
            elif n in space:
                value = space[n]
                found = _BY_PLAIN.get(value) if type(value) is _BUILTIN else None
                if found is not None:
                    self._put.append((space, n, value))
                    space[n] = found

    def _is_safe(self, code: CodeType, space: dict[str, Any]) -> bool:
        """Whether no function of a module asks which class something is."""
        if id(space) not in self._safe:
            self._safe[id(space)] = not any(map(_asks, _codes_of(space)))
        return self._safe[id(space)] and not _asks(code)

    def leave(self) -> None:
        """Take them out again."""
        for space, name, value in reversed(self._put):
            if value is None:
                space.pop(name, None)
            else:
                space[name] = value
        self._put.clear()


_BUILTIN = type(math.sqrt)


def _codes_of(space: dict[str, Any]) -> Iterator[CodeType]:
    for value in list(space.values()):
        inner = list(vars(value).values()) if isinstance(value, type) and value.__module__ == space.get("__name__") else [value]
        for f in inner:
            f = getattr(f, "__func__", getattr(f, "fget", f)) if isinstance(f, (staticmethod, classmethod, property)) else f
            if isinstance(f, FunctionType) and f.__globals__ is space:
                yield f.__code__


def _asks(code: CodeType) -> bool:
    return any(not {"type", "__class__"}.isdisjoint(c.co_names) and not _CLASSES.keys().isdisjoint(c.co_names) for c in nested(code))


@contextmanager
def measured() -> Iterator[None]:
    """A block in which `len` and `math` know what remembers. They are the plain ones all the same for those that watch names."""
    builtins.len = length
    for n, f in _MATH.items():
        setattr(math, n, f)
    try:
        yield
    finally:
        builtins.len = LEN
        for n, plain in _PLAIN.items():
            setattr(math, n, plain)
