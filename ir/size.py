"""Sizes that are known only at run time: expressions over symbols, in a normal form, that calculate as integers do.

A size is a sum of products: integers times products of atoms, where an atom is a symbol, a floor division that does not come out, or the
smaller or larger of two sizes. Equal expressions are one form, as far as the rules here see; `a % b` is `a - b * (a // b)`. What has no
symbol in it is an `int`. As text, `/` is the floor division, for `//` begins a comment.

    B, T = symbol("B"), symbol("T", 1, 512)
    (2 * B * T + T) // T        # 2*B+1
    at_most(T, 4 * T), at_most(B, T)        # True, None: it depends

Comparisons answer from the bounds of the symbols, and raise ShapeError where these leave it open, but where `deciding` says who decides.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, wraps
from itertools import islice
from itertools import product as combinations
from math import gcd, inf
from typing import Any, TypeVar

__all__ = [
    "ShapeError", "Size", "Symbol", "Undecided", "as_symbol", "at_most", "bounds", "ceil_div", "deciding", "decisions", "equal",
    "evaluate", "exactly", "larger", "remembered", "replaced", "smaller", "symbol", "symbols",
]  # fmt: skip

_MAX_TERMS = 256  # of a size: products of long sums grow without end
_CASES = 2  # choices of `min` and `max` that are gone through, one within the other, where bounds alone do not tell


class ShapeError(RuntimeError):
    """Shapes that do not fit an operation. A RuntimeError, as in torch."""


class Undecided(ShapeError):
    """Whether `low` <= `high` (`equal`: whether they are equal) depends on the symbols, and something has to know."""

    def __init__(self, message: str, low: Dim, high: Dim, equal: bool = False):
        super().__init__(message)
        self.low = low
        self.high = high
        self.equal = equal


# -- atoms -----------------------------------------------------------------------------------------------------------


class _Atom:
    """What products are made of. Immutable; equal to those of its class with the same parts."""

    __slots__ = ("parts", "text", "_hash")

    def __init__(self, parts: tuple, text: str):
        self.parts = parts
        self.text = text
        self._hash = hash((type(self).__name__, parts))

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is type(self) and other.parts == self.parts)  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return self.text


class Symbol(_Atom):
    """A name for an extent of `min` to `max`. `max` is infinity where there is no bound."""

    __slots__ = ()

    def __init__(self, name: str, min: int = 0, max: float = inf):
        if not isinstance(min, int) or min < 0 or max < min:
            raise ValueError(f"the symbol {name} has no extent that is at least {min} and at most {max}")
        super().__init__((name, min, max), name)

    @property
    def name(self) -> str:
        return self.parts[0]

    @property
    def min(self) -> int:
        return self.parts[1]

    @property
    def max(self) -> float:
        return self.parts[2]

    @property
    def bounds_text(self) -> str:
        """Name and bounds, as in `1 <= T <= 512`; the name alone where there are none."""
        low, high = f"{self.min} <= " if self.min else "", f" <= {self.max}" if self.max != inf else ""
        return f"{low}{self.name}{high}"


class Quotient(_Atom):
    """floor(numerator / denominator), the denominator at least 1."""

    __slots__ = ()

    def __init__(self, numerator: Dim, denominator: Dim):
        super().__init__((numerator, denominator), f"{_in_product(numerator)}/{_in_product(denominator)}")


class Smaller(_Atom):
    """The smaller of two sizes."""

    __slots__ = ()

    def __init__(self, a: Dim, b: Dim):
        super().__init__((a, b), f"min({a},{b})")


class Larger(_Atom):
    """The larger of two sizes."""

    __slots__ = ()

    def __init__(self, a: Dim, b: Dim):
        super().__init__((a, b), f"max({a},{b})")


# -- sizes -----------------------------------------------------------------------------------------------------------

Product = tuple[_Atom, ...]  # sorted
Terms = dict[Product, Any]  # to integers


def _compared(sides: Callable[[Any, Any], tuple[Dim, Dim]], sign: str) -> Callable[[Any, Any], bool]:
    def compare(self: Size, other: Any) -> bool:
        if not isinstance(other, (int, Size)):
            return NotImplemented
        low, high = sides(self, other)
        found = at_most(low, high)
        if found is None:
            raise Undecided(f"whether {self} {sign} {other} is known only at run time", low, high)
        return found

    return compare


class Size:
    """A size with symbols in it. Made by calculating with what `symbol` gives; immutable."""

    __slots__ = ("const", "terms", "_hash")

    def __init__(self, const: int, terms: tuple[tuple[Product, int], ...]):
        self.const = const
        self.terms = terms
        self._hash = hash((const, terms))

    def __eq__(self, other: object) -> bool:
        """Whether both are written alike in the normal form; `equal` asks what their values are."""
        return self is other or (
            isinstance(other, Size) and self._hash == other._hash and self.const == other.const and self.terms == other.terms
        )

    def __hash__(self) -> int:
        return self._hash

    def __add__(self, other: Dim) -> Dim:
        return _sum(self, other) if isinstance(other, (int, Size)) else NotImplemented

    def __sub__(self, other: Dim) -> Dim:
        return _sum(self, _scaled(other, -1)) if isinstance(other, (int, Size)) else NotImplemented

    def __rsub__(self, other: Dim) -> Dim:
        return _sum(other, _scaled(self, -1)) if isinstance(other, int) else NotImplemented

    def __neg__(self) -> Dim:
        return _scaled(self, -1)

    def __mul__(self, other: Dim) -> Dim:
        return _product(self, other) if isinstance(other, (int, Size)) else NotImplemented

    def __floordiv__(self, other: Dim) -> Dim:
        return _quotient(self, other) if isinstance(other, (int, Size)) else NotImplemented

    def __rfloordiv__(self, other: Dim) -> Dim:
        return _quotient(other, self) if isinstance(other, int) else NotImplemented

    def __mod__(self, other: Dim) -> Dim:
        return self - other * (self // other) if isinstance(other, (int, Size)) else NotImplemented

    def __rmod__(self, other: Dim) -> Dim:
        return other - self * (other // self) if isinstance(other, int) else NotImplemented

    __radd__, __rmul__ = __add__, __mul__
    __le__ = _compared(lambda a, b: (a, b), "<=")
    __lt__ = _compared(lambda a, b: (a + 1, b), "<")
    __ge__ = _compared(lambda a, b: (b, a), ">=")
    __gt__ = _compared(lambda a, b: (b + 1, a), ">")

    def __bool__(self) -> bool:
        found = equal(self, 0)
        if found is None:
            raise Undecided(f"whether {self} is 0 is known only at run time", self, 0, equal=True)
        return not found

    def __index__(self) -> int:
        raise ShapeError(f"the extent {self} is known only at run time")

    def __str__(self) -> str:
        out = ""
        for atoms, c in self.terms:
            text = atoms[0].text if len(atoms) == 1 and c == 1 else "*".join(map(_factor, atoms))
            out += f"{'-' if c < 0 else '+'}{text if abs(c) == 1 else f'{abs(c)}*{text}'}"
        if self.const:
            out += f"{self.const:+d}"
        return out.removeprefix("+")

    __repr__ = __str__


Dim = int | Size


def symbol(name: str, min: int = 0, max: float = inf) -> Dim:
    """The size that the symbol of this name stands for: an integer where the bounds leave one. ValueError where they leave none."""
    if min == max:
        return min
    return Size(0, (((Symbol(name, min, max),), 1),))


def _in_product(x: Dim) -> str:
    text = str(x)
    single = not isinstance(x, Size) or (not x.const and len(x.terms) == 1 and x.terms[0][1] == 1 and len(x.terms[0][0]) == 1)
    return text if single and "/" not in text and not text.startswith("-") else f"({text})"


def _factor(atom: _Atom) -> str:
    return f"({atom.text})" if isinstance(atom, Quotient) else atom.text


def _terms(x: Any) -> Terms:
    """The terms of a size, the constant one under ()."""
    if not isinstance(x, Size):
        return {(): x} if x else {}
    found: Terms = dict(x.terms)
    if x.const:
        found[()] = x.const
    return found


def _size(terms: Terms) -> Any:
    """The size of these terms: an int where none has an atom."""
    const = terms.pop((), 0)
    kept = [(p, c) for p, c in terms.items() if c]
    if not kept:
        return const
    if len(kept) > _MAX_TERMS:
        raise ShapeError(f"a size of {len(kept)} terms is more than can be calculated with")
    if len(kept) > 1:
        kept.sort(key=lambda t: (-len(t[0]), *(a.text for a in t[0])))
    return Size(const, tuple(kept))


@lru_cache(16384)
def _sum(a: Any, b: Any) -> Any:
    out = _terms(a)
    for p, c in _terms(b).items():
        out[p] = out.get(p, 0) + c
    return _size(out)


@lru_cache(4096)
def _scaled(x: Any, k: Any) -> Any:
    return _size({p: c * k for p, c in _terms(x).items()}) if isinstance(x, Size) else x * k


@lru_cache(4096)
def _product(a: Any, b: Any) -> Any:
    out: Terms = {}
    for (p, c), (q, d) in combinations(_terms(a).items(), _terms(b).items()):
        both = tuple(sorted((*p, *q), key=lambda atom: atom.text))
        out[both] = out.get(both, 0) + c * d
    return _size(out)


def _quotient(a: Dim, b: Dim) -> Dim:
    if at_most(1, b) is not True:
        raise Undecided(f"{a} cannot be divided by {b}, which may be less than 1", 1, b)
    whole, rest = _divided(_terms(a), _terms(b))
    return _size(whole) + _floor(_size(rest), b) if whole else _floor(_size(rest), b)


def _divided(a: Terms, b: Terms) -> tuple[Terms, Terms]:
    """The terms of `a` divided by `b`, where `b` is one term and they come out, and the rest."""
    if len(b) != 1:
        exact = _ratio(a, b)
        return ({}, a) if exact is None else (exact, {})
    ((atoms, d),) = b.items()
    whole: Terms = {}
    rest: Terms = {}
    for p, c in a.items():
        left = _without(p, atoms)
        q = c // d if left is not None else 0
        if q:
            whole[left] = q  # type: ignore[index]
        if c - q * d:
            rest[p] = c - q * d
    return whole, rest


@lru_cache(4096)
def exactly(a: Dim, b: Dim) -> Dim | None:
    """What times `b` is `a`, whatever the symbols are, where their forms show it; None elsewhere. `b` may be a size that can be 0.

    >>> T = symbol("T")
    >>> exactly(6 * T * T, 2 * T), exactly(T + 1, T)
    (3*T, None)
    """
    if isinstance(a, int) and isinstance(b, int):
        return a // b if a % b == 0 else None
    if isinstance(a, int):
        return None if a else 0
    whole, rest = _divided(_terms(a), _terms(b))
    return None if rest else _size(whole)


def _ratio(a: Terms, b: Terms) -> Terms | None:
    """a / b for a sum `b`, by long division; None where it does not come out."""

    def lead(terms: Terms) -> Product:
        return max(terms, key=lambda p: (len(p), [x.text for x in p]))

    first, rest, whole = lead(b), dict(a), Terms()
    while rest:
        p = lead(rest)
        left = _without(p, first)
        if left is None or rest[p] % b[first] or left in whole:
            return None
        whole[left] = rest[p] // b[first]
        rest = _terms(_sum(_size(rest), _scaled(_product(_size({left: whole[left]}), _size(dict(b))), -1)))
    return whole


def _without(p: Product, atoms: Product) -> Product | None:
    """A product without some of its factors; None where it has not got them."""
    left = list(p)
    for a in atoms:
        if a not in left:
            return None
        left.remove(a)
    return tuple(left)


def _floor(a: Dim, b: Dim) -> Dim:
    """floor(a / b), where no term of `a` can be divided."""
    if _at_most(0, a) and _at_most(a + 1, b):
        return 0
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    either = [(p[0], c) for p, c in a.terms if len(p) == 1 and isinstance(p[0], (Smaller, Larger))] if isinstance(a, Size) else []
    if len(either) == 1 and either[0][1] == 1:  # what is the larger divided is the larger quotient
        atom = either[0][0]
        rest = a - Size(0, (((atom,), 1),))
        x, y = ((part + rest) // b for part in atom.parts)
        return larger(x, y) if isinstance(atom, Larger) else smaller(x, y)
    if isinstance(b, int) and isinstance(a, Size):
        shared = gcd(b, *(c for _, c in a.terms))
        if shared > 1:
            a, b = _size({p: c // shared for p, c in _terms(a).items()}), b // shared  # (g*x + c) // (g*d) = (x + c//g) // d
            if b == 1:
                return a
        assert isinstance(a, Size)
        (p, c), *more = a.terms
        if not more and c == 1 and len(p) == 1 and isinstance(p[0], Quotient) and isinstance(p[0].parts[1], int):
            return (p[0].parts[0] + a.const * p[0].parts[1]) // (p[0].parts[1] * b)
    return Size(0, (((Quotient(a, b),), 1),))


def ceil_div(a: Dim, b: Dim) -> Dim:
    """a / b, rounded up; `b` is at least 1.

    >>> ceil_div(7, 4), ceil_div(symbol("T"), 4)
    (2, (T+3)/4)
    """
    return (a + b - 1) // b


def smaller(a: Dim, b: Dim) -> Dim:
    """The smaller of two sizes."""
    return a if _at_most(a, b) else b if _at_most(b, a) else _of_two(Smaller, a, b)


def larger(a: Dim, b: Dim) -> Dim:
    """The larger of two sizes."""
    return b if _at_most(a, b) else a if _at_most(b, a) else _of_two(Larger, a, b)


def _of_two(kind: Callable[[Dim, Dim], _Atom], a: Dim, b: Dim) -> Size:
    return Size(0, (((kind(*sorted((a, b), key=str)),), 1),))


# -- decisions -------------------------------------------------------------------------------------------------------


Decide = Callable[[Any, Any, bool], bool]
F = TypeVar("F", bound=Callable)
_UNKNOWN = object()


class _Deciding(threading.local):
    decide: Decide | None = None
    asked = 0


_deciding = _Deciding()


@contextmanager
def deciding(decide: Decide | None) -> Iterator[None]:
    """A block in which `decide(low, high, equal)` answers, in this thread, what the symbols leave open: whether low <= high, or
    whether both are equal. It is who remembers that the answer holds for some values only. With None nobody does.

    >>> T = symbol("T")
    >>> with deciding(lambda low, high, equal: True):
    ...     at_most(T, 5)
    True
    """
    before, _deciding.decide = _deciding.decide, decide
    try:
        yield
    finally:
        _deciding.decide = before


def decisions() -> int:
    """How often this thread has asked who decides: what was found out meanwhile is known for some values only."""
    return _deciding.asked


def remembered(limit: int) -> Callable[[F], F]:
    """`functools.lru_cache`, but of what holds whatever the symbols are: what was decided for some values is found out anew."""

    def decorator(fn: F) -> F:
        known: dict[tuple, Any] = {}

        @wraps(fn)
        def call(*args: Any) -> Any:
            found = known.get(args, _UNKNOWN)
            if found is _UNKNOWN:
                before = decisions()
                found = fn(*args)
                if decisions() == before:
                    if len(known) >= limit:
                        known.clear()
                    known[args] = found
            return found

        return call  # type: ignore[return-value]

    return decorator


def _decided(a: Dim, b: Dim, equal: bool) -> bool | None:
    if _deciding.decide is None:
        return None
    _deciding.asked += 1
    return _deciding.decide(a, b, equal)


def equal(a: Dim, b: Dim) -> bool | None:
    """Whether two sizes are equal whatever the symbols are; None where it depends on them and nobody decides, see `deciding`."""
    if type(a) is int and type(b) is int:
        return a == b
    low, high = bounds(a - b)
    return True if low == high == 0 else False if low > 0 or high < 0 else _decided(a, b, True)


def at_most(a: Dim, b: Dim) -> bool | None:
    """Whether a <= b whatever the symbols are; None where it depends on them, or the rules here do not see it, and nobody decides."""
    found = _at_most(a, b)
    if found is None:
        found = _by_cases(b - a, _CASES)
    return _decided(a, b, False) if found is None else found


def _at_most(a: Dim, b: Dim) -> bool | None:
    if type(a) is int and type(b) is int:
        return a <= b
    low, high = bounds(b - a)
    return True if low >= 0 else False if high < 0 else None


@lru_cache(4096)
def _by_cases(gap: Dim, depth: int) -> bool | None:
    """Whether a size is at least 0, where its bounds tell that once it is known which of two sizes a `min` or `max` in it is."""
    for cases in islice(_choices(gap), 4) if depth else ():
        found = set()
        for values in cases:
            try:
                with deciding(None):  # nobody knows the symbols that stand for others here
                    case = replaced(gap, values)
            except ShapeError:  # they may have other values besides, for which a quotient in it is none
                break
            answer = _at_most(0, case)
            found.add(_by_cases(case, depth - 1) if answer is None else answer)
            if None in found or len(found) > 1:
                break
        else:
            return found.pop()
    return None


def _choices(x: Dim) -> Iterator[list[dict[str, Dim]]]:
    """Ways to have a `min` or `max` in a size decided: what a symbol is instead in each of two cases, which are all there are together."""
    for p, _ in x.terms if isinstance(x, Size) else ():
        for atom in p:
            if isinstance(atom, Symbol):
                continue
            for part in atom.parts:
                yield from _choices(part)
            gap = atom.parts[0] - atom.parts[1]
            if isinstance(atom, Quotient) or not isinstance(gap, Size):
                continue
            alone = [(q[0], c) for q, c in gap.terms if len(q) == 1 and isinstance(q[0], Symbol)]
            if len(gap.terms) == len(alone) == 1:  # it depends on one symbol, up to where it is which
                ((s, c),) = alone
                end = -gap.const // c if c > 0 else gap.const // -c
                if s.min <= end < s.max:
                    yield [{s.name: symbol(s.name, s.min, end)}, {s.name: symbol(s.name, end + 1, s.max)}]
            elif len(gap.terms) == 2 and sorted(c for _, c in alone) == [-1, 1]:  # one is the other and something, or the other way round
                (s, _), (t, _) = sorted(alone, key=lambda a: -a[1])
                one, other, more = symbol(s.name, s.min, s.max), symbol(t.name, t.min, t.max), symbol(f"{s.name}-{t.name}")
                yield [{s.name: other - gap.const + more}, {t.name: one + gap.const + 1 + more}]


@lru_cache(4096)
def bounds(x: Dim) -> tuple[float, float]:
    """What a size is at least and at most: integers or infinities. Not always the tightest."""
    if isinstance(x, int):
        return x, x
    low, high = _least(_terms(x)), _least({p: -c for p, c in _terms(x).items()})
    return low, -high


def _least(terms: Terms) -> Any:
    """A lower bound of a sum: an integer, or minus infinity."""
    best = _least_by_products(terms)
    for p, c in terms.items():  # a quotient is what is divided, up to a rest
        if len(p) == 1 and isinstance(p[0], (Quotient, Smaller, Larger)):
            found = []
            for by, divisor in _linear(p[0], c > 0):
                others = {q: d * divisor for q, d in terms.items() if q != p}
                for q, d in by.items():
                    others[q] = others.get(q, 0) + c * d
                least = _least({q: d for q, d in others.items() if d})
                found.append(least if least == -inf else -(-least // divisor))
            one = isinstance(p[0], Quotient) or isinstance(p[0], Larger) is (c > 0)  # any of them is a bound; else the least is
            best = max([best, *found] if one else [best, min(found)])
            break
    return best


def _linear(atom: _Atom, below: bool) -> list[tuple[Terms, int]]:
    """A sum and a divisor that a quotient is at least (`below`), or at most; the two sums that others are one of."""
    a, b = atom.parts
    if isinstance(atom, Quotient):
        if not isinstance(b, int):
            return []
        return [(_terms(a - (b - 1) if below else a), b)]
    return [(_terms(a), 1), (_terms(b), 1)]


def _least_by_products(terms: Terms) -> Any:
    """A lower bound from those of the atoms: each atom is its own lower bound and something more, which is at least 0."""
    shifted: Terms = {}
    for p, c in terms.items():
        parts: Terms = {(): c}
        for atom in p:
            low = _atom_bounds(atom)[0]
            if low == -inf:
                return -inf
            grown: Terms = {}
            for q, d in parts.items():
                both = tuple(sorted((*q, atom), key=lambda a: a.text))
                grown[both] = grown.get(both, 0) + d
                if low:
                    grown[q] = grown.get(q, 0) + d * low
            parts = grown
        for q, d in parts.items():
            shifted[q] = shifted.get(q, 0) + d
    total: Any = shifted.pop((), 0)
    for p, c in shifted.items():
        if c < 0:
            for atom in p:
                low, high = _atom_bounds(atom)
                if high == low:
                    c = 0
                elif c:
                    c = -inf if high == inf else c * (high - low)
            total += c
    return total


@lru_cache(4096)
def _atom_bounds(atom: _Atom) -> tuple[float, float]:
    if isinstance(atom, Symbol):
        return atom.min, atom.max
    (a, c), (b, d) = map(bounds, atom.parts)
    if isinstance(atom, Quotient):
        b, d = max(b, 1), max(d, 1)  # whatever the bounds of the denominator say
        return _floors(a, b if a < 0 else d), _floors(c, d if c < 0 else b)
    return (min(a, b), min(c, d)) if isinstance(atom, Smaller) else (max(a, b), max(c, d))


def _floors(a: float, b: float) -> float:
    """floor(a / b) of integers and infinities, b at least 1."""
    if abs(a) == inf:
        return a
    return a // b if b != inf else 0 if a >= 0 else -1


# -- values ----------------------------------------------------------------------------------------------------------


def as_symbol(x: Any) -> Symbol | None:
    """The symbol that a size is; None for integers and for expressions."""
    if isinstance(x, Size) and not x.const and len(x.terms) == 1:
        (atoms, c), *_ = x.terms
        if c == 1 and len(atoms) == 1 and isinstance(atoms[0], Symbol):
            return atoms[0]
    return None


def symbols(*dims: Any) -> list[Symbol]:
    """The symbols in sizes, in the order of their names."""
    found: dict[Symbol, None] = {}

    def visit(x: Any) -> None:
        for p, _ in x.terms if isinstance(x, Size) else ():
            for atom in p:
                if isinstance(atom, Symbol):
                    found[atom] = None
                else:
                    for part in atom.parts:
                        visit(part)

    for d in dims:
        visit(d)
    return sorted(found, key=lambda s: s.name)


def replaced(x: Dim, values: Mapping[str, Dim]) -> Dim:
    """A size with others in place of symbols, by their names; what is not named stays.

    >>> T = symbol("T")
    >>> replaced((T + 3) // 4, {"T": 9}), replaced(T * T, {"T": T + 1})
    (3, T*T+2*T+1)
    """
    if not isinstance(x, Size):
        return x
    return _added(_multiplied((_replaced_atom(a, values) for a in p), c) for p, c in _terms(x).items())


def _replaced_atom(atom: _Atom, values: Mapping[str, Dim]) -> Dim:
    if isinstance(atom, Symbol):
        return values.get(atom.name, Size(0, (((atom,), 1),)))
    a, b = (replaced(part, values) for part in atom.parts)
    return a // b if isinstance(atom, Quotient) else smaller(a, b) if isinstance(atom, Smaller) else larger(a, b)


def _added(items: Iterable[Dim]) -> Dim:
    total: Dim = 0
    for x in items:
        total = total + x
    return total


def _multiplied(items: Iterable[Dim], first: Dim = 1) -> Dim:
    for x in items:
        first = first * x
    return first


def evaluate(x: Dim, values: Mapping[str, int]) -> int:
    """The integer that a size is for these extents. ShapeError if a symbol has none.

    >>> evaluate(2 * symbol("T") + 1, {"T": 4})
    9
    """
    found = replaced(x, values)
    if isinstance(found, Size):
        raise ShapeError(f"the extent {x} needs {', '.join(s.name for s in symbols(found))}, which nothing defines")
    return found
