"""Floats that remember what they are: while a function is traced, Python's numbers that each call has anew, and what is made of them.

A `Real` stands for a float and carries its formula, a Python expression that each call evaluates. It is to floats what an Extent
(extents.py) is to ints: no subclass of float, though `isinstance` says so.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from ingot.ir.struct import value_type

__all__ = ["Formula", "Real", "real_of"]


@value_type
class Formula:
    """A float as a Python expression of the variables `d_NAME`, for symbols of these names."""

    text: str
    names: frozenset[str]

    def at(self, values: Mapping[str, Any]) -> float:
        """Its value for those of the symbols."""
        return eval(self.text, {}, {f"d_{n}": values[n] for n in self.names})  # noqa: S307  (made of operators and numbers alone)


def real_of(x: Any) -> tuple[str, frozenset[str], Any] | None:
    """The expression of a number, the symbols in it, and what it is in the call that is traced; None for what is no number."""
    if type(x) is Real:
        return x.formula.text, x.formula.names, x.number
    if type(x) is int or (type(x) is float and math.isfinite(x)):
        return f"({x!r})", frozenset(), x
    described = getattr(type(x), "_as_real", None)
    return None if described is None else described(x)


def _calculated(fn: Callable[[Any, Any], Any], sign: str, swapped: bool = False) -> Callable[[Real, Any], Any]:
    def method(self: Real, other: Any) -> Any:
        b = real_of(other)
        if b is None:
            if not isinstance(other, (int, float)):
                return NotImplemented
            return fn(other, self.pin("it is calculated with as a number")) if swapped else fn(self.pin("it meets infinity"), other)
        a = real_of(self)
        x, y = (b, a) if swapped else (a, b)
        return made(fn, sign, x, y, self.known)

    return method


def made(fn: Callable[[Any, Any], Any], sign: str, x: Any, y: Any, known: Any) -> Any:
    """The number that an operation makes of two, given as `real_of` gives them."""
    number = fn(x[2], y[2])
    names = x[1] | y[1]
    if not known.live or not names:
        return number
    if type(number) is not float or not known.floats:
        known.pin_names(names, "it is calculated with as a number")
    return Real(Formula(f"({x[0]} {sign} {y[0]})", names), number, known)


def _compared(fn: Callable[[Any, Any], bool], sign: str) -> Callable[[Real, Any], Any]:
    def method(self: Real, other: Any) -> Any:
        b = real_of(other)
        if b is None:
            return fn(self.pin("it is compared"), other) if isinstance(other, (int, float)) else NotImplemented
        found = fn(self.number, b[2])
        if self.known.live:
            text = f"{self.formula.text} {sign} {b[0]}"
            self.known.condition(text if found else f"not {text}", self.formula.names | b[1])
        return found

    return method


def _needed(fn: Callable[..., Any], why: str) -> Callable[..., Any]:
    def method(self: Real, *args: Any) -> Any:
        return fn(self.pin(why), *args)

    return method


class Real:
    """A float that carries its `formula`; `number` is what it is in the call that is traced, of which `known` knows. See the module."""

    __slots__ = ("formula", "number", "known")
    __array_priority__ = 0

    def __init__(self, formula: Formula, number: float, known: Any):
        self.formula = formula
        self.number = number
        self.known = known

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # type: ignore[override]
        return float

    def pin(self, why: str) -> float:
        """The number for good."""
        self.known.pin_names(self.formula.names, why)
        return self.number

    __add__ = _calculated(operator.add, "+")
    __radd__ = _calculated(operator.add, "+", True)
    __sub__ = _calculated(operator.sub, "-")
    __rsub__ = _calculated(operator.sub, "-", True)
    __mul__ = _calculated(operator.mul, "*")
    __rmul__ = _calculated(operator.mul, "*", True)
    __truediv__ = _calculated(operator.truediv, "/")
    __rtruediv__ = _calculated(operator.truediv, "/", True)
    __floordiv__ = _calculated(operator.floordiv, "//")
    __rfloordiv__ = _calculated(operator.floordiv, "//", True)
    __mod__ = _calculated(operator.mod, "%")
    __rmod__ = _calculated(operator.mod, "%", True)
    __pow__ = _calculated(operator.pow, "**")
    __rpow__ = _calculated(operator.pow, "**", True)

    __lt__ = _compared(operator.lt, "<")
    __le__ = _compared(operator.le, "<=")
    __gt__ = _compared(operator.gt, ">")
    __ge__ = _compared(operator.ge, ">=")
    __eq__ = _compared(operator.eq, "==")  # type: ignore[assignment]
    __ne__ = _compared(operator.ne, "!=")  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return self != 0.0

    def __neg__(self) -> Any:
        return -1.0 * self

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self if self >= 0 else -self

    __float__ = _needed(float, "it becomes a plain float")
    __int__ = _needed(int, "it becomes an int")
    __complex__ = _needed(complex, "it becomes a complex number")
    __trunc__ = _needed(math.trunc, "it becomes an int")
    __floor__ = _needed(math.floor, "it becomes an int")
    __ceil__ = _needed(math.ceil, "it becomes an int")
    __round__ = _needed(round, "it is rounded")
    __divmod__ = _needed(divmod, "it is calculated with as a number")
    __rdivmod__ = _needed(lambda a, b: divmod(b, a), "it is calculated with as a number")
    __hash__ = _needed(hash, "it is looked up in a table")  # type: ignore[assignment]
    __repr__ = _needed(repr, "it is shown")
    __str__ = _needed(str, "it is shown")
    __format__ = _needed(format, "it is shown")

    def __copy__(self) -> Real:
        return self

    def __deepcopy__(self, memo: Any) -> Real:
        return self

    def __reduce__(self) -> tuple:
        return float, (self.pin("it is pickled"),)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(float, name):
            raise AttributeError(f"'float' object has no attribute {name!r}")
        return getattr(self.pin(f"its {name} is asked for"), name)
