"""Extents that remember what they are: while a function is traced with symbolic sizes, what Python reads of a shape.

An `Extent` stands for an int and carries its expression (ir/size.py). Calculating keeps it. A comparison answers with the example's
value, and what it has answered becomes a guard. Where Python needs the plain number for good, the symbols in it are specialised: the
function is traced again with their values in their place. It is no subclass of int, though `isinstance` says so: code in C reads an
int's digits without asking, and `range(n)`, `[0] * n` or `items[n]` would fix the number without a trace.
"""

from __future__ import annotations

import operator
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ingot._tensor.reals import Formula, Real, made, real_of
from ingot._tensor.remembering import Remembering, needed
from ingot.ir.graph import Graph
from ingot.ir.location import resolve
from ingot.ir.size import Dim, ShapeError, Size, Symbol, at_most, bounds, equal, evaluate, replaced, symbols
from ingot.ir.sized import sized
from ingot.ir.types import TensorType
from ingot.runtime.recorder import here, user_location

__all__ = ["NAME", "Again", "Extent", "Extents", "Guard", "extents", "holds", "plain_dim", "plain_dims", "python_text"]

Guard = tuple[str, Dim, Dim]  # "<=", "==" or "!=", and what it compares


class Again(BaseException):  # not for the function to catch
    """The trace starts again, with `values` in the place of symbols: `why`, and `where` in the user's code, say what needs it."""

    def __init__(self, values: Mapping[str, Any], why: str, where: str, number: bool = False):
        super().__init__(why)
        self.values = values  # dims, or floats
        self.why = why
        self.where = where
        self.number = number  # Python needs it, whatever the number is


class Extents:
    """The symbols of one trace, with the values that they have in the call that is traced, and what was found out about them.

    guards: relations that the trace depends on, and the user's line that asked first; conditions: likewise, of formulas
    measured: symbols that the code computes, in order; `example` gives the value of one in the call that is traced, `unknown` what is
        raised where it is needed for good
    ended: what is raised where a number of the trace is used when it is of no call, or by another thread
    """

    def __init__(self, values: Mapping[str, Any], floats: bool = True):
        self.values = dict(values)  # floats are those of symbols in formulas
        self.measured: list[str] = []
        self.example: Callable[[str], Any]
        self.unknown: Callable[[Iterable[str]], Exception]
        self.ended: Callable[[], Exception] = lambda: RuntimeError("a number is used after the trace that it was made in")
        self.floats = floats  # whether what is calculated with floats is remembered, too
        self.conditions: dict[Formula, str] = {}
        self.guards: dict[Guard, str] = {}
        self._known: set[tuple[str, Dim]] = set()  # the same as relations to 0
        self._thread = threading.get_ident()
        self._open = True
        self._stale = False

    def close(self) -> None:
        """The trace has ended: what is still there of its extents are the numbers of its call."""
        self._open = False

    def served(self) -> None:
        """What was traced has served another call: the numbers are of no use any more."""
        self._stale = True

    @property
    def live(self) -> bool:
        """Whether the trace goes on. What is raised where another call would have other numbers, and in another thread meanwhile."""
        if self._stale or (self._open and self._thread != threading.get_ident()):
            raise self.ended()
        return self._open

    def of(self, dim: Dim) -> Any:
        """A dim as Python sees it."""
        return Extent(dim, self) if isinstance(dim, Size) else dim

    def real(self, name: str) -> Real:
        """The float of a symbol as Python sees it."""
        return Real(Formula(f"d_{name}", frozenset((name,))), self.values.get(name), self)

    def value(self, dim: Dim) -> int:
        """What it is in the call that is traced."""
        if self.measured:
            self._find([s.name for s in symbols(dim)])
        return evaluate(dim, self.values)

    def at(self, formula: Formula) -> float:
        """The same of a formula."""
        self._find(formula.names)
        return formula.at(self.values)

    def _find(self, names: Iterable[str]) -> None:
        for n in sorted(names):
            if n not in self.values:
                if not self._open:
                    raise self.ended()
                self.values[n] = self.example(n)

    def computes(self, names: Iterable[str]) -> bool:
        """Whether one of the symbols is measured."""
        return not set(self.measured).isdisjoint(names)

    def measures(self, relation: Guard | Formula) -> bool:
        """Whether there is a measured symbol in it."""
        return self.computes(relation.names if isinstance(relation, Formula) else {s.name for s in symbols(*relation[1:])})

    def known(self, names: Iterable[str]) -> None:
        """CaptureError where one of the symbols is measured, for whose number nothing else can be made."""
        if self.computes(names):
            raise self.unknown(names)

    def decide(self, low: Dim, high: Dim, same: bool) -> bool:
        """Whether low <= high, or both are the `same`, in the call that is traced; a guard says so from now on."""
        a, b = self.value(low), self.value(high)
        if same:
            if a == b:
                self._unify(low, high)
            self.guard("==" if a == b else "!=", low, high)
            return a == b
        if a <= b:
            self.guard("<=", low, high)
        else:
            self.guard("<=", high + 1, low)
        return a <= b

    def guard(self, sign: str, a: Dim, b: Dim) -> None:
        """The trace depends on a relation."""
        zero = b - a
        if (sign, zero) not in self._known and not (sign == "!=" and (sign, a - b) in self._known):
            self._known.add((sign, zero))
            self.guards[sign, a, b] = _line()

    def condition(self, text: str, names: frozenset[str]) -> None:
        """A guard of formulas: that `text` is true."""
        self.conditions.setdefault(Formula(text, names), _line())

    def _unify(self, a: Dim, b: Dim) -> None:
        """Trace again where the equality says what a symbol is."""
        found = _solved(a - b, next((n for n in reversed(self.measured) if any(s.name == n for s in symbols(a - b))), None))
        if found is not None and bounds(found[1])[0] >= 0:  # a dim is never less than 0
            s, dim = found
            raise Again({s.name: dim}, f"{a} is compared with {b}", _line())

    def specialised(self, infer: Callable[..., Any], types: Sequence[TensorType], attrs: tuple, error: ShapeError) -> Again:
        """What asks for numbers for the symbols that a rule fails with, with `error`. ShapeError where it fails with them, too."""
        found = symbols(*[d for t in types for d in t.shape], *_leaves(attrs))
        found = list(dict.fromkeys([*found, *(s for a in attrs if isinstance(a, Graph) for s in a.symbols)]))
        self.known([s.name for s in found])
        values = {s.name: self.values[s.name] for s in found}
        infer(*_sized(types, attrs, values))
        for n, v in values.items():
            try:
                infer(*_sized(types, attrs, {n: v}))
            except ShapeError:
                continue
            values = {n: v}
            break
        return Again(values, str(error), _line(), number=True)

    def pin(self, dim: Dim, why: str) -> int:
        """The number for good. Does not return where it has symbols, and the trace goes on."""
        if isinstance(dim, Size) and self.live:
            self.known([s.name for s in symbols(dim)])
            raise Again({s.name: self.values[s.name] for s in symbols(dim)}, why, _line(), number=True)
        return self.value(dim)

    def names_of(self, x: Any) -> frozenset[str]:
        """The symbols in what remembers."""
        return x.formula.names if type(x) is Real else frozenset(s.name for s in symbols(x.dim))

    def pin_names(self, names: frozenset[str], why: str) -> None:
        """The numbers of these symbols are needed for good. Does not return while the trace goes on."""
        if names and self.live:
            self.known(names)
            raise Again({n: self.values[n] for n in sorted(names)}, why, _line(), number=True)


def holds(guard: Guard, values: Mapping[str, Any]) -> bool:
    """Whether a relation holds for these values."""
    sign, a, b = guard
    x, y = evaluate(a, values), evaluate(b, values)
    return x <= y if sign == "<=" else (x == y) is (sign == "==")


def python_text(dim: Dim) -> str:
    """A size as a Python expression of variables `d_NAME`."""
    return NAME.sub(r"d_\g<0>", str(dim)).replace("/", "//")


NAME = re.compile(r"\b(?!min\b|max\b)[A-Za-z_]\w*")  # of a symbol, in the text of a size


def _leaves(attrs: Any) -> list[Any]:
    return [x for a in attrs for x in _leaves(a)] if isinstance(attrs, tuple) else [attrs]


def _sized(types: Sequence[TensorType], attrs: tuple, values: Mapping[str, int]) -> tuple[tuple[TensorType, ...], tuple]:
    def attribute(a: Any) -> Any:
        if isinstance(a, Graph):
            return sized(a, values)
        return tuple(map(attribute, a)) if isinstance(a, tuple) else replaced(a, values)

    return tuple([t.with_shape(tuple([replaced(d, values) for d in t.shape])) for t in types]), attribute(attrs)


def _line() -> str:
    loc = user_location(3)
    return "" if loc is None else str(resolve(loc))


def _solved(zero: Dim, name: str | None) -> tuple[Symbol, Dim] | None:
    """A symbol (that of this name, if one is given), and what it is where `zero` is 0; None where that is no size."""
    if not isinstance(zero, Size):
        return None
    for atoms, c in zero.terms:
        if len(atoms) == 1 and isinstance(atoms[0], Symbol) and name in (None, atoms[0].name):
            s = atoms[0]
            try:
                rest = replaced(zero, {s.name: 0})  # the symbol may stand in other terms, too
            except ZeroDivisionError:  # where something is divided by it
                continue
            if isinstance(rest, int) and rest % c == 0 and len(zero.terms) == 1:
                return s, -rest // c
            if abs(c) == 1 and zero - rest == c * Size(0, (((s,), 1),)) and not isinstance(rest, int):
                return s, -rest if c == 1 else rest
    return None


def plain_dim(x: Any) -> Any:
    """An extent as a dim of the graph, a float that remembers as its formula; anything else as it is."""
    if type(x) is Extent:
        return x.dim if x.known.live else x.known.value(x.dim)
    if type(x) is Real:
        return x.formula if x.known.live else x.number
    return x


def plain_dims(x: Any) -> Any:
    """The same within tuples."""
    return tuple([plain_dims(i) for i in x]) if isinstance(x, tuple) else plain_dim(x) if type(x) is Extent else x


def extents(shape: tuple) -> tuple:
    """A shape with symbols as Python sees it."""
    known = here.recorder.extents
    return shape if known is None else tuple([known.of(d) for d in shape])


# -- the number ------------------------------------------------------------------------------------------------------


def _operand(x: Any) -> Dim | None:
    """What dims calculate with; None for what is no integer."""
    if type(x) is Extent:
        return plain_dim(x)
    if type(x) is int or type(x) is bool:
        return int(x)
    if hasattr(x, "__index__") and not hasattr(x, "_array"):
        return operator.index(x)
    return None


def _calculated(fn: Callable[[Any, Any], Any], sign: str, swapped: bool = False) -> Callable[[Extent, Any], Any]:
    """An operation on two integers, or with a float; what is no size then needs the number."""
    plain = getattr(operator, _PLAIN[sign])
    of_floats = _divided(plain, sign, swapped)

    def method(self: Extent, other: Any) -> Any:
        o = _operand(other)
        if o is None:
            return of_floats(self, other) if isinstance(other, float) else NotImplemented
        if self.known.live:
            a, b = (o, self.dim) if swapped else (self.dim, o)
            found = fn(a, b)
            if found is not NotImplemented:
                return self.known.of(found)
            if isinstance(o, int):
                return of_floats(self, other)  # a power that is no integer
            self.known.pin(o, "it is a power")
        n, m = self.known.value(self.dim), self.known.value(o)
        return plain(m, n) if swapped else plain(n, m)

    return method


_PLAIN = {"+": "add", "-": "sub", "*": "mul", "//": "floordiv", "%": "mod", "**": "pow"}


def _quotient(a: Any, b: Any) -> Any:
    if not isinstance(a, Size) and not isinstance(b, Size):
        return a // b
    if equal(b, 0):
        raise ZeroDivisionError("integer division or modulo by zero")
    return a // b if at_most(1, b) else -a // -b


def _remainder(a: Any, b: Any) -> Any:
    return a - b * _quotient(a, b) if isinstance(a, Size) or isinstance(b, Size) else a % b


def _power(a: Any, b: Any) -> Any:
    if not isinstance(b, int) or not isinstance(a, Size) or not 0 <= b <= 8:
        return NotImplemented if isinstance(a, Size) or isinstance(b, Size) else a**b
    found: Any = 1
    for _ in range(b):
        found = found * a
    return found


def _compared(fn: Callable[[Any, Any], bool | None], plain: Callable[[Any, Any], Any]) -> Callable[[Extent, Any], Any]:
    def method(self: Extent, other: Any) -> Any:
        o = _operand(other)
        if o is not None and self.known.live:
            return fn(self.dim, o)
        if o is None and (not isinstance(other, float) or type(other) is Real):
            return NotImplemented
        return plain(self.known.pin(self.dim, "it is compared with a float"), other if o is None else self.known.value(o))

    return method


def _divided(fn: Callable[[Any, Any], Any], sign: str, swapped: bool = False) -> Callable[[Extent, Any], Any]:
    """An operation whose result is a float."""

    def method(self: Extent, other: Any) -> Any:
        b = real_of(other)
        if b is None:
            return _only_number(fn, swapped)(self, other)
        a = self._as_real()
        return made(fn, sign, b, a, self.known) if swapped else made(fn, sign, a, b, self.known)

    return method


def _only_number(fn: Callable[[Any, Any], Any], swapped: bool = False) -> Callable[[Extent, Any], Any]:
    def method(self: Extent, other: Any) -> Any:
        if hasattr(other, "_array"):
            return NotImplemented
        n = self.known.pin(self.dim, "it is calculated with as a number")
        return fn(other, n) if swapped else fn(n, other)

    return method


class Extent(Remembering):
    """An int that carries its expression `dim`, and `known`, the trace's. See the module."""

    __slots__ = ("dim", "known")
    plain = int

    def __init__(self, dim: Size, known: Extents):
        self.dim = dim
        self.known = known

    def pin(self, why: str) -> int:
        """The number for good."""
        return self.known.pin(self.dim, why)

    def now(self) -> int:
        """What it is in the call that is traced."""
        return self.known.value(self.dim)

    def _as_real(self) -> tuple[str, frozenset[str], Any, tuple[Dim, int]]:
        """See `real_of`."""
        if not self.known.live:
            return real_of(self.known.value(self.dim))  # type: ignore[return-value]
        return f"({python_text(self.dim)})", frozenset(s.name for s in symbols(self.dim)), self, (self.dim, 1)

    def as_float(self) -> Real:
        """The same as a float."""
        text, names, number, ratio = self._as_real()
        later = self.known.live and self.known.computes(names)
        return Real(Formula(f"float{text}", names), None if later else float(self.now()), self.known, ratio)

    __add__ = _calculated(operator.add, "+")
    __radd__ = _calculated(operator.add, "+", True)
    __sub__ = _calculated(operator.sub, "-")
    __rsub__ = _calculated(operator.sub, "-", True)
    __mul__ = _calculated(operator.mul, "*")
    __rmul__ = _calculated(operator.mul, "*", True)
    __floordiv__ = _calculated(_quotient, "//")
    __rfloordiv__ = _calculated(_quotient, "//", True)
    __mod__ = _calculated(_remainder, "%")
    __rmod__ = _calculated(_remainder, "%", True)
    __pow__ = _calculated(_power, "**")
    __rpow__ = _divided(operator.pow, "**", True)
    __truediv__ = _divided(operator.truediv, "/")
    __rtruediv__ = _divided(operator.truediv, "/", True)
    __and__ = _only_number(operator.and_)
    __rand__ = _only_number(operator.and_, True)
    __or__ = _only_number(operator.or_)
    __ror__ = _only_number(operator.or_, True)
    __xor__ = _only_number(operator.xor)
    __rxor__ = _only_number(operator.xor, True)
    __rlshift__ = _only_number(operator.lshift, True)
    __rrshift__ = _only_number(operator.rshift, True)

    __lt__ = _compared(lambda a, b: at_most(a + 1, b), operator.lt)
    __le__ = _compared(at_most, operator.le)
    __gt__ = _compared(lambda a, b: at_most(b + 1, a), operator.gt)
    __ge__ = _compared(lambda a, b: at_most(b, a), operator.ge)
    __eq__ = _compared(equal, operator.eq)  # type: ignore[assignment]

    def __ne__(self, other: object) -> Any:
        found = self.__eq__(other)
        return found if found is NotImplemented else not found

    def __bool__(self) -> bool:
        return not equal(self.dim, 0) if self.known.live else bool(self.known.value(self.dim))

    def __neg__(self) -> Any:
        return self.known.of(-self.dim)

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Any]:
        return other // self, other % self

    def __lshift__(self, other: Any) -> Any:
        return self * (1 << other)

    def __rshift__(self, other: Any) -> Any:
        return self // (1 << other)

    def __round__(self, digits: Any = None) -> Any:
        return self if digits is None else round(self.pin("it is rounded"), digits)

    def __floor__(self) -> Any:
        return self

    __ceil__ = __trunc__ = __floor__

    __int__ = needed(int, "it becomes a plain int")
    __index__ = needed(int, "it becomes a plain int")
    __float__ = needed(float, "it becomes a float")
    __hash__ = Remembering.__hash__
