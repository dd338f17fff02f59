"""What the rows of `rules.py` are made of: patterns of ops, and the values they bind.

    Rule("x * 1 = x", P.mul(x, ONE), x)
    Rule("transpose of transpose", P.transpose(P.transpose(x, perm="p"), perm="q"),
         P.transpose(x, perm=lambda m: tuple(m.p[i] for i in m.q)))

In a pattern an attribute is a name to bind or, wrapped in `Just`, the value it must have; in a replacement it is a
function of the bindings, or a value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ingot.ir.struct import value_type

__all__ = ["Var", "Splat", "Fill", "Apply", "Just", "P", "Rule", "Match", "Pattern"]


@value_type
class Var:
    """Any value; the same name twice is the same value."""

    name: str


@value_type
class Splat:
    """A constant that is `value` everywhere. 0.0 is integer zero or +0.0, never -0.0."""

    value: bool | int | float

    def matches(self, other: bool | int | float | None) -> bool:
        if other is None or other != self.value or isinstance(other, bool) != isinstance(self.value, bool):
            return False
        return self.value != 0 or math.copysign(1, other) == math.copysign(1, self.value)


@value_type
class Fill:
    """In a replacement: `value` everywhere, in the type of what is replaced."""

    value: bool | int | float


@value_type
class Just:
    """In a pattern: an attribute that must equal `value`."""

    value: Any


@value_type
class Apply:
    """An op applied to patterns."""

    op: str
    args: tuple[Pattern, ...]
    attrs: Mapping[str, Any]


Pattern = Var | Splat | Apply


class _Ops:
    """P.add(x, y) is Apply("add", (x, y), {})."""

    def __getattr__(self, op: str) -> Callable[..., Apply]:
        return lambda *args, **attrs: Apply(op, args, attrs)


P = _Ops()


class Match(dict):
    """Bindings by name: values for Vars, attribute values, and `out`, the type of the value that is replaced."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


def always(m: Match) -> bool:
    return True


@value_type
class Rule:
    """Where `pattern` matches and `when(bindings)` holds, `replacement` computes the same bits at no greater cost.

    `shapes` and `attrs` make an example for the test that runs every row: the shape of each Var ((2, 3) where absent)
    and a value for each attribute that the pattern binds; `dtypes` are those to try.
    """

    name: str
    pattern: Apply
    replacement: Pattern | Fill
    when: Callable[[Match], bool] = always
    dtypes: tuple[str, ...] = ("f32", "bf16", "i32")
    shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    attrs: Mapping[str, Any] = MappingProxyType({})
