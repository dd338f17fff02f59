"""Formulas calculated by the graph: where numbers that it computes come back to it, as factors of tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from ingot._tensor.reals import MATH, Formula
from ingot.ir.dtypes import f64
from ingot.ir.graph import Const
from ingot.ir.op import OPS
from ingot.runtime.array import Array
from ingot.runtime.tape import Pair, emit

__all__ = ["Term", "calculated"]


class Term:
    """A float64 scalar of the graph, with the operators that the text of a formula has."""

    __slots__ = ("pair",)

    def __init__(self, pair: Pair):
        self.pair = pair

    def __neg__(self) -> Term:
        return _term("neg", self)


def _term(op: str, *args: Any) -> Any:
    pairs = [a.pair if isinstance(a, Term) else emit(OPS["constant"], (), (Const.of(float(a), f64),))[0] for a in args]
    return Term(emit(OPS[op], tuple(pairs), ())[0])


def _operator(name: str, op: str) -> None:
    setattr(Term, f"__{name}__", lambda self, other: _term(op, self, other))
    setattr(Term, f"__r{name}__", lambda self, other: _term(op, other, self))


for _name, _op in (
    ("add", "add"), ("sub", "sub"), ("mul", "mul"), ("truediv", "div"), ("floordiv", "floor_divide"), ("mod", "remainder"), ("pow", "pow"),
):  # fmt: skip
    _operator(_name, _op)

_OTHERS: dict[str, Callable[..., Any]] = {  # functions that are no op of the same name
    "fabs": lambda x: _term("abs", x),
    "degrees": lambda x: x * (180 / math.pi),
    "radians": lambda x: x * (math.pi / 180),
    "hypot": lambda x, y: _term("sqrt", x * x + y * y),
    "log": lambda x, base=None: _term("log", x) if base is None else _term("log", x) / _term("log", base),
}
_MATH = SimpleNamespace(**{name: _OTHERS.get(name) or (lambda *args, op=name: _term(op, *args)) for name in MATH})
_NAMES = {"math": _MATH, "float": lambda x: x, "min": lambda a, b: _term("minimum", a, b), "max": lambda a, b: _term("maximum", a, b)}


def calculated(formula: Formula, values: Mapping[str, Term]) -> Array:
    """The value of a formula, float64, for those of its symbols."""
    found = eval(formula.text, _NAMES, {f"d_{n}": values[n] for n in formula.names})  # noqa: S307  (of operators and MATH alone)
    return found.pair[0]
