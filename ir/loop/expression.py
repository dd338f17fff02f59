"""Index expressions: int64 sums of coefficients times atoms. `ir/loop/index.py` builds them.

Written out, not as dataclasses: every process that records anything imports them, and the lowering hashes them all the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingot.ir.size import Size

__all__ = ["Param", "Var", "Dyn", "Div", "Mod", "Atom", "Coef", "Index"]


class _Name:
    """An atom that is known by its name. Immutable; equal to those of its class and name."""

    __slots__ = ("name", "_hash")

    def __init__(self, name: str):
        self.name = name
        self._hash = hash((type(self).__name__, name))

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is type(self) and other.name == self.name)  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


class Param(_Name):
    """An int64 parameter of the kernel: an extent, stride or offset that differs between its launches."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"${self.name}"


class Var(_Name):
    """A loop variable."""

    __slots__ = ()


class Dyn(_Name):
    """An i64 scalar computed in the kernel (a loaded index), used as an index."""

    __slots__ = ()


class _Quotient:
    """An atom of num >= 0 and den > 0. Immutable; equal to those of its class that have the same."""

    __slots__ = ("num", "den", "_hash")

    def __init__(self, num: Index, den: Coef):
        self.num = num
        self.den = den
        self._hash = hash((type(self).__name__, num, den))

    def __eq__(self, other: object) -> bool:
        return self is other or (
            type(other) is type(self) and other.den == self.den and other.num == self.num  # type: ignore[attr-defined]
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num={self.num!r}, den={self.den!r})"


class Div(_Quotient):
    """floor(num / den)."""

    __slots__ = ()


class Mod(_Quotient):
    """num mod den."""

    __slots__ = ()


Atom = Var | Param | Dyn | Div | Mod
if TYPE_CHECKING:
    Coef = Any  # as with `Dim`
else:
    Coef = int | Size | Param  # a Size only while a kernel is written: it becomes a parameter (ir/lower/parametrise.py)


class Index:
    """const + sum of coef * atom, in int64. Build with the helpers of `ir/loop/index.py`, which keep it canonical:

    terms sorted, no atom twice with integer coefficients, no zero coefficient. Immutable; the hash is made once, for
    the lowering looks indices up all the time.
    """

    __slots__ = ("const", "terms", "_hash")

    def __init__(self, const: Coef = 0, terms: tuple[tuple[Atom, Coef], ...] = ()):
        self.const = const
        self.terms = terms
        self._hash = hash((const, terms))

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Index) and self._hash == other._hash and self.const == other.const and self.terms == other.terms
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Index({self.const!r}, {self.terms!r})"
