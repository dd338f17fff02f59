"""Floats that remember what they are: while a function is traced, Python's numbers that each call has anew, and what is made of them.

A `Real` stands for a float and carries its formula, a Python expression that each call evaluates. It is to floats what an Extent
(extents.py) is to ints: no subclass of float, though `isinstance` says so. One that is a size over an integer knows it: rounded, it is a
size again.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from ingot._tensor.remembering import Remembering, needed
from ingot.ir.size import Dim, Size, at_most
from ingot.ir.struct import value_type

__all__ = ["MATH", "Formula", "Real", "applied", "real_of"]

MATH = (  # functions of floats, which formulas may call
    "sqrt", "exp", "expm1", "log", "log1p", "log2", "log10", "pow", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh",
    "tanh", "fabs", "hypot", "erf", "degrees", "radians",
)  # fmt: skip
Ratio = tuple[Dim, int]  # a size over an integer of 1 or more
_LARGEST = 1 << 30  # an integer in a ratio: what is calculated with it is exact as a float, too


@value_type
class Formula:
    """A float as a Python expression of the variables `d_NAME`, for symbols of these names."""

    text: str
    names: frozenset[str]

    def at(self, values: Mapping[str, Any]) -> float:
        """Its value for those of the symbols."""
        return eval(self.text, {"math": math}, {f"d_{n}": values[n] for n in self.names})  # noqa: S307  (of operators and MATH alone)


def real_of(x: Any) -> tuple[str, frozenset[str], Any, Ratio | None] | None:
    """The expression of a number, the symbols in it, the number (see `_now`), and as a ratio; None for what is no number."""
    if type(x) is Real:
        if not x.known.live:
            return real_of(x.number)
        return x.formula.text, x.formula.names, x, x.ratio
    if type(x) is int or (type(x) is float and math.isfinite(x)):
        n, d = x.as_integer_ratio()
        return f"({x!r})", frozenset(), x, (n, d) if abs(n) < _LARGEST and d < _LARGEST else None
    described = getattr(type(x), "_as_real", None)
    return None if described is None else described(x)


def _now(x: Any) -> Any:
    """What a number is in the call that is traced."""
    return x.now() if hasattr(type(x), "now") else x


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
    names = x[1] | y[1]
    text = f"({x[0]} {sign} {y[0]})"
    if known.live and known.computes(names) and (sign == "/" or {type(x[2]), type(y[2])} & {Real, float}):
        if sign not in "+-*" and not (sign == "/" and type(y[2]) in (int, float) and y[2]):
            known.condition(f"{text} is not None", names)  # it may fail, and then nothing else is done
        return Real(Formula(text, names), None, known, _combined(sign, x[3], y[3]))
    number = fn(_now(x[2]), _now(y[2]))
    if not known.live or not names:
        return number
    if type(number) is not float or not known.floats:
        known.pin_names(names, "it is calculated with as a number")
    return Real(Formula(text, names), number, known, _combined(sign, x[3], y[3]))


def _combined(sign: str, x: Ratio | None, y: Ratio | None) -> Ratio | None:
    """What an operation makes of two ratios, where that is one."""
    if x is None or y is None:
        return None
    (a, b), (c, d) = x, y
    if sign in "+-":
        found = (a * d + c * b if sign == "+" else a * d - c * b), b * d
    elif sign == "*":
        found = a * c, b * d
    elif sign == "/" and isinstance(c, int) and c:
        found = (a * d, b * c) if c > 0 else (-a * d, b * -c)
    else:
        return None
    n, under = found
    terms = n.terms if isinstance(n, Size) else ()
    numbers = [under, n.const if isinstance(n, Size) else n, *(k for _, k in terms)]
    return (n, under) if all(abs(k) < _LARGEST for k in numbers) else None


def applied(name: str, *args: Any) -> Any:
    """The function of `MATH` of that name, of arguments some of which remember."""
    fn = getattr(math, name)
    numbers = [real_of(a) for a in args]
    known = next(a.known for a in args if hasattr(type(a), "known"))
    if any(n is None for n in numbers):
        return fn(*[float(a) for a in args])
    names = frozenset().union(*[n[1] for n in numbers])  # type: ignore[index]
    text = f"math.{name}({', '.join([n[0] for n in numbers])})"  # type: ignore[index]
    if known.live and known.computes(names):
        known.condition(f"{text} is not None", names)
        return Real(Formula(text, names), None, known)
    number = fn(*[_now(n[2]) for n in numbers])  # type: ignore[index]
    if not known.live or not names:
        return number
    if not known.floats:
        known.pin_names(names, "it is calculated with as a number")
    return Real(Formula(text, names), number, known)


def _compared(fn: Callable[[Any, Any], bool], sign: str) -> Callable[[Real, Any], Any]:
    def method(self: Real, other: Any) -> Any:
        b = real_of(other)
        if b is None:
            return fn(self.pin("it is compared"), other) if isinstance(other, (int, float)) else NotImplemented
        found = fn(self.number, _now(b[2]))
        if self.known.live:
            text = f"{self.formula.text} {sign} {b[0]}"
            self.known.condition(text if found else f"not {text}", self.formula.names | b[1])
        return found

    return method


def _rounded(fn: Callable[..., Any], exact: Callable[[Dim, int], Dim]) -> Callable[..., Any]:
    """A rounding to an integer, `exact` of a ratio."""

    def method(self: Real, *args: Any) -> Any:
        if self.ratio is None or args or not self.known.live:
            return fn(self.pin("it becomes an int"), *args)
        return self.known.of(exact(*self.ratio))

    return method


class Real(Remembering):
    """A float that carries its `formula`; `number` is what it is in the call that is traced, of which `known` knows. See the module.

    number: None where that is found out when somebody asks; ratio: the same as a size over an integer, where it is that
    """

    __slots__ = ("formula", "_number", "known", "ratio")
    plain = float

    def __init__(self, formula: Formula, number: float | None, known: Any, ratio: Ratio | None = None):
        self.formula = formula
        self._number = number
        self.known = known
        self.ratio = ratio

    @property
    def number(self) -> float:
        """What it is in the call that is traced."""
        if self._number is None:
            self._number = self.known.at(self.formula)
        return self._number

    def now(self) -> float:
        """The same."""
        return self.number

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

    __float__ = needed(float, "it becomes a plain float")
    __int__ = needed(int, "it becomes an int")
    __trunc__ = _rounded(math.trunc, lambda n, d: n // d if at_most(0, n) else -(-n // d))
    __floor__ = _rounded(math.floor, lambda n, d: n // d)
    __ceil__ = _rounded(math.ceil, lambda n, d: -(-n // d))
    __round__ = _rounded(round, lambda n, d: (2 * n + d - 1 + (n // d) % 2) // (2 * d))  # halves to even
    __divmod__ = needed(divmod, "it is calculated with as a number")
    __rdivmod__ = needed(lambda a, b: divmod(b, a), "it is calculated with as a number")
    __hash__ = Remembering.__hash__
