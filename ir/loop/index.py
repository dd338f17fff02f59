"""Index algebra: helpers that build `ir.loop.ir.Index` and keep it canonical.

Canonical: terms sorted, at most one coefficient per atom that is no Param, no zero coefficient; `const` is an int or a size (a
Param that stands there is folded into the terms by the next operation). Simplification uses `Ranges`: the extents of the loop
variables that are known. A loop variable lies in 0 .. extent-1; without a known extent it is only known to be >= 0. What is divided
by is at least 1 wherever the loops around run at all.

    i, j = var("i"), var("j")
    div(add(mul(i, 8), j), 8, {"j": 8})        # i
    mod(add(mul(i, 8), j), 8, {"j": 8})        # j
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import gcd, inf
from typing import Any

from ingot.ir.loop.expression import Atom, Coef, Div, Dyn, Index, Mod, Param, Var
from ingot.ir.size import Size, at_most, exactly
from ingot.ir.types import Dim

__all__ = [
    "Ranges", "const", "var", "dyn", "add", "sub", "mul", "div", "mod", "coefficient", "depends_on", "bounds", "evaluate", "placed",
]  # fmt: skip

Ranges = Mapping[str, Dim]
_NO_RANGES: Ranges = {}
_RANK = {Var: 0, Dyn: 1, Param: 2, Div: 3, Mod: 4}


@lru_cache(maxsize=4096)
def const(value: Dim) -> Index:
    """The constant `value`."""
    return Index(value, ())


@lru_cache(maxsize=4096)
def var(name: str) -> Index:
    """The loop variable `name`."""
    return Index(0, ((Var(name), 1),))


@lru_cache(maxsize=4096)
def dyn(name: str) -> Index:
    """The computed i64 scalar `name`."""
    return Index(0, ((Dyn(name), 1),))


@lru_cache(maxsize=65536)
def _key(atom: Atom) -> tuple:
    if isinstance(atom, (Div, Mod)):
        return (_RANK[type(atom)], "", _den_key(atom.den), tuple((_key(a), str(c)) for a, c in atom.num.terms), str(atom.num.const))
    return (_RANK[type(atom)], atom.name)


def _den_key(den: Coef) -> tuple[int, int, str]:
    return (0, den, "") if isinstance(den, int) else (1, 0, str(den))


def _term_key(term: tuple[Atom, Coef]) -> tuple:
    atom, c = term
    return (_key(atom), c.name if isinstance(c, Param) else "")


def _sum(value: Dim, terms: Iterable[tuple[Atom, Coef]]) -> Index:
    """Canonical form of value + terms."""
    whole: dict[Atom, Dim] = {}
    scaled: list[tuple[Atom, Coef]] = []
    split = 0
    for atom, c in terms:
        if not isinstance(c, Param):
            whole[atom] = whole.get(atom, 0) + c
            if isinstance(atom, Div):
                split |= 1
            elif isinstance(atom, Mod):
                split |= 2
        else:
            scaled.append((atom, c))
    if split == 3:
        joined = _join(whole)
        if joined is not None:
            return _sum(value + joined[0], [*joined[1], *scaled])
    out: list[tuple[Atom, Coef]] = [(a, c) for a, c in whole.items() if c != 0]
    if scaled:
        out += scaled
    if len(out) > 1:
        out.sort(key=_term_key)
    return Index(value, tuple(out))


def _join(whole: dict[Atom, Dim]) -> tuple[Dim, list[tuple[Atom, Coef]]] | None:
    """d * (x / d) + x mod d = x, for one such pair; None where there is none."""
    for atom, c in whole.items():
        if not isinstance(atom, Mod) or c == 0 or isinstance(atom.den, Param):
            continue
        quotient = div(atom.num, atom.den)
        if quotient.const == 0 and len(quotient.terms) == 1 and quotient.terms[0][1] == 1:
            other = quotient.terms[0][0]
            if whole.get(other) == c * atom.den:
                rest: list[tuple[Atom, Coef]] = [(a, k) for a, k in whole.items() if a != atom and a != other]
                scaled = mul(atom.num, c)
                assert not isinstance(scaled.const, Param)
                return scaled.const, rest + list(scaled.terms)
    return None


def _plain(a: Index) -> Index:
    """With a `const` that is no Param."""
    if not isinstance(a.const, Param):
        return a
    return _sum(0, [*a.terms, (a.const, 1)])


def add(a: Index, b: Index) -> Index:
    """a + b."""
    ac, bc = a.const, b.const
    if isinstance(ac, Param):
        a = _plain(a)
        ac = 0
    if isinstance(bc, Param):
        b = _plain(b)
        bc = 0
    if not b.terms:
        return a if bc == 0 else Index(ac + bc, a.terms)
    if not a.terms:
        return b if ac == 0 else Index(ac + bc, b.terms)
    return _sum(ac + bc, a.terms + b.terms)


def sub(a: Index, b: Index) -> Index:
    """a - b."""
    return add(a, mul(b, -1))


def mul(a: Index, k: Coef) -> Index:
    """a * k. A product of two parameters has no Index: TypeError."""
    a = _plain(a)
    assert not isinstance(a.const, Param)
    if not isinstance(k, Param):
        if k == 1:
            return a
        if k == 0:
            return const(0)
        terms: list[tuple[Atom, Coef]] = []
        for atom, c in a.terms:
            if not isinstance(c, Param):
                terms.append((atom, c * k))
            else:
                raise TypeError(f"index: a term with parameter {c.name} as its coefficient can't be scaled by {k}")
        return Index(a.const * k, tuple(terms))
    terms = [(k, a.const)] if a.const != 0 else []
    for atom, c in a.terms:
        if c != 1:
            raise TypeError(f"index: a term with coefficient {c} can't be scaled by parameter {k.name}")
        terms.append((atom, k))
    return _sum(0, terms)


def bounds(a: Index, ranges: Ranges = _NO_RANGES) -> tuple[Any, Any]:
    """Smallest and largest value that `a` may take where the loops around it run, as dims, or -inf/inf where nothing is known."""
    if isinstance(a.const, Param):
        return -inf, inf
    lo = hi = a.const
    for atom, c in a.terms:
        alo, ahi = _atom_bounds(atom, ranges)
        positive = None if isinstance(c, Param) else c > 0 if isinstance(c, int) else True if at_most(0, c) else at_most(1, c)
        if positive is None:
            return -inf, inf
        lo = _plus(lo, alo if positive else ahi, c)
        hi = _plus(hi, ahi if positive else alo, c)
    return lo, hi


def _plus(total: Any, x: Any, c: Any) -> Any:
    """total + x * c, where `total` and `x` may be infinite; sums of infinities have one sign."""
    if isinstance(x, float):
        return x if isinstance(c, Size) and at_most(0, c) or isinstance(c, int) and c > 0 else -x
    return total if isinstance(total, float) else total + x * c


def _atom_bounds(atom: Atom, ranges: Ranges) -> tuple[Any, Any]:
    if isinstance(atom, Var):
        extent = ranges.get(atom.name)
        return (0, inf) if extent is None else (0, max(extent - 1, 0) if isinstance(extent, int) else extent - 1)
    if isinstance(atom, (Div, Mod)):
        hi = bounds(atom.num, ranges)[1]
        den = atom.den
        if isinstance(den, int) and isinstance(hi, (int, float)):
            hi = max(hi, 0)
            return 0, min(hi, den - 1) if isinstance(atom, Mod) else hi if hi == inf else hi // den
        if isinstance(den, Param):
            return 0, hi
        if isinstance(atom, Mod):
            return 0, hi if not isinstance(hi, float) and at_most(hi, den - 1) else den - 1
        return 0, hi // den if not isinstance(hi, float) and at_most(1, den) else hi
    return -inf, inf


def _less(a: Any, b: Any) -> bool:
    """Whether a is known to be less than b: dims or infinities."""
    if not isinstance(a, Size) and not isinstance(b, Size):
        return a < b
    return not isinstance(a, float) and not isinstance(b, float) and at_most(a + 1, b) is True


def _split(a: Index, d: Dim, ranges: Ranges) -> tuple[Index, Index] | None:
    """a = d * q + r with r >= 0 known; None where no such split is known."""
    assert not isinstance(a.const, Param)
    q: list[tuple[Atom, Coef]] = []
    r: list[tuple[Atom, Coef]] = []
    for atom, c in a.terms:
        whole = None if isinstance(c, Param) else exactly(c, d)
        if whole is not None:
            q.append((atom, whole))
        else:
            r.append((atom, c))
    if isinstance(a.const, int) and isinstance(d, int):
        whole = a.const // d
    else:
        found = exactly(a.const, d)
        whole = 0 if found is None else found
    rest = Index(a.const - d * whole, tuple(r))
    if (r or rest.const != 0) and not _less(-1, bounds(rest, ranges)[0]):
        return None
    return _sum(whole, q), rest


def _common(a: Index, d: Dim) -> Dim:
    """The greatest divisor of d and of every coefficient; of sizes one that is easily found."""
    if isinstance(d, int) and all(isinstance(c, int) for _, c in a.terms):
        return gcd(d, *(c for _, c in a.terms))  # type: ignore[arg-type]
    if any(isinstance(c, Param) for _, c in a.terms):
        return 1
    for _, g in a.terms:
        if at_most(1, g) and all(exactly(x, g) is not None for x in (d, a.const, *(c for _, c in a.terms))):
            return g
    return 1


def div(a: Index, d: Dim, ranges: Ranges = _NO_RANGES) -> Index:
    """floor(a / d), for a >= 0 and d > 0."""
    a = _plain(a)
    if d == 1:
        return a
    if not a.terms and isinstance(a.const, int) and isinstance(d, int):
        return const(a.const // d)
    parts = _split(a, d, ranges)
    if parts is None:
        return Index(0, ((Div(a, d), 1),))
    q, r = parts
    if _less(bounds(r, ranges)[1], d):
        return q
    g = _common(r, d)
    if g != 1:
        r = Index(r.const // g if isinstance(g, int) else exactly(r.const, g), tuple((t, exactly(c, g)) for t, c in r.terms))  # type: ignore
        return add(q, div(r, exactly(d, g), ranges))
    inner = r.terms[0][0] if len(r.terms) == 1 and r.const == 0 and r.terms[0][1] == 1 else None
    if isinstance(inner, Div) and not isinstance(inner.den, Param):
        return add(q, div(inner.num, inner.den * d, ranges))
    blocks = _blocks(r, d, ranges)
    if blocks is not None:
        return add(q, div(blocks[1], d // blocks[0], ranges))  # type: ignore[operator]
    return add(q, Index(0, ((Div(r, d), 1),)))


def _blocks(a: Index, d: Dim, ranges: Ranges) -> tuple[int, Index, Index] | None:
    """A divisor g of d with a = g * block + rest and 0 <= rest < g, and these two: dividing by d, whole blocks are divided."""
    if not isinstance(d, int) or not isinstance(a.const, int) or not all(isinstance(c, int) for _, c in a.terms):
        return None
    for g in sorted({c for _, c in a.terms if 1 < c < d and d % c == 0}, reverse=True):  # type: ignore[operator]
        rest = Index(a.const % g, tuple((t, c) for t, c in a.terms if c % g))  # type: ignore[operator]
        low, high = bounds(rest, ranges)
        if isinstance(low, int) and low >= 0 and _less(high, g):
            return g, Index(a.const // g, tuple((t, c // g) for t, c in a.terms if c % g == 0)), rest  # type: ignore[operator]
    return None


def mod(a: Index, d: Dim, ranges: Ranges = _NO_RANGES) -> Index:
    """a mod d, for a >= 0 and d > 0."""
    a = _plain(a)
    if d == 1:
        return const(0)
    if not a.terms and isinstance(a.const, int) and isinstance(d, int):
        return const(a.const % d)
    parts = _split(a, d, ranges)
    if parts is None:
        return Index(0, ((Mod(a, d), 1),))
    r = parts[1]
    if _less(bounds(r, ranges)[1], d):
        return r
    g = _common(r, d)
    if g != 1:
        low = r.const % g if isinstance(g, int) else 0  # type: ignore[operator]
        r = Index(exactly(r.const - low, g), tuple((t, exactly(c, g)) for t, c in r.terms))  # type: ignore
        return add(mul(mod(r, exactly(d, g), ranges), g), const(low))
    if len(r.terms) == 1 and r.const == 0 and r.terms[0][1] == 1:
        inner = r.terms[0][0]
        if isinstance(inner, Mod) and not isinstance(inner.den, Param) and exactly(inner.den, d) is not None:
            return mod(inner.num, d, ranges)
    blocks = _blocks(r, d, ranges)
    if blocks is not None:
        g, block, rest = blocks
        return add(mul(mod(block, d // g, ranges), g), rest)  # type: ignore[operator]
    return Index(0, ((Mod(r, d), 1),))


def placed(a: Index, at: Mapping[str, Index], ranges: Ranges = _NO_RANGES) -> Index:
    """`a` with an index in the place of each variable. KeyError for a variable that has none."""
    out = const(a.const)
    for atom, c in a.terms:
        if isinstance(atom, (Div, Mod)):
            here = (div if isinstance(atom, Div) else mod)(placed(atom.num, at, ranges), atom.den, ranges)  # type: ignore[arg-type]
        else:
            here = at[atom.name] if isinstance(atom, Var) else Index(0, ((atom, 1),))
        out = add(out, mul(here, c))
    return out


def coefficient(a: Index, name: str) -> Coef | None:
    """What `a` grows by when loop variable (or Dyn) `name` grows by one: an int or Param; 0 where `a` does not depend
    on it; None where it is not linear in it."""
    found: Coef | None = 0
    for atom, c in a.terms:
        if isinstance(atom, (Var, Dyn)):
            if atom.name == name:
                if found != 0:
                    return None
                found = c
        elif isinstance(atom, (Div, Mod)) and depends_on(atom.num, (name,)):
            return None
    return found


def depends_on(a: Index, names: Iterable[str]) -> bool:
    """Whether `a` reads any of these loop variables or Dyns. A set is quickest."""
    for atom, _ in a.terms:
        if isinstance(atom, (Div, Mod)):
            if depends_on(atom.num, names):
                return True
        elif not isinstance(atom, Param) and atom.name in names:
            return True
    return False


def evaluate(a: Index, values: Mapping[str, int]) -> int:
    """The value of `a` where variables, Dyns and parameters have these values."""

    def coef(c: Any) -> int:
        return values[c.name] if isinstance(c, Param) else c

    total = coef(a.const)
    for atom, c in a.terms:
        if isinstance(atom, Div):
            v = evaluate(atom.num, values) // coef(atom.den)
        elif isinstance(atom, Mod):
            v = evaluate(atom.num, values) % coef(atom.den)
        else:
            v = values[atom.name]
        total += v * coef(c)
    return total
