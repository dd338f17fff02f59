"""Index algebra: helpers that build `ir.loop.ir.Index` and keep it canonical.

Canonical: terms sorted, at most one integer coefficient per atom, no zero coefficient; `const` is an int (a Param that
stands there is folded into the terms by the next operation). Simplification uses `Ranges`: the extents of the loop
variables that are known. A loop variable lies in 0 .. extent-1; without a known extent it is only known to be >= 0.

    i, j = var("i"), var("j")
    div(add(mul(i, 8), j), 8, {"j": 8})        # i
    mod(add(mul(i, 8), j), 8, {"j": 8})        # j
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import gcd, inf

from ingot.ir.loop.expression import Atom, Coef, Div, Dyn, Index, Mod, Param, Var

__all__ = [
    "Ranges", "const", "var", "dyn", "add", "sub", "mul", "div", "mod", "coefficient", "depends_on", "bounds", "evaluate",
]  # fmt: skip

Ranges = Mapping[str, int]
_NO_RANGES: Ranges = {}
_RANK = {Var: 0, Dyn: 1, Param: 2, Div: 3, Mod: 4}


@lru_cache(maxsize=4096)
def const(value: int) -> Index:
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
        return (_RANK[type(atom)], "", atom.den, tuple((_key(a), str(c)) for a, c in atom.num.terms), str(atom.num.const))
    return (_RANK[type(atom)], atom.name)


def _term_key(term: tuple[Atom, Coef]) -> tuple:
    atom, c = term
    return (_key(atom), "" if isinstance(c, int) else c.name)


def _sum(value: int, terms: Iterable[tuple[Atom, Coef]]) -> Index:
    """Canonical form of value + terms."""
    whole: dict[Atom, int] = {}
    scaled: list[tuple[Atom, Coef]] = []
    split = 0
    for atom, c in terms:
        if isinstance(c, int):
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
    out: list[tuple[Atom, Coef]] = [(a, c) for a, c in whole.items() if c]
    if scaled:
        out += scaled
    if len(out) > 1:
        out.sort(key=_term_key)
    return Index(value, tuple(out))


def _join(whole: dict[Atom, int]) -> tuple[int, list[tuple[Atom, Coef]]] | None:
    """d * (x / d) + x mod d = x, for one such pair; None where there is none."""
    for atom, c in whole.items():
        if not isinstance(atom, Mod) or not c:
            continue
        quotient = div(atom.num, atom.den)
        if quotient.const == 0 and len(quotient.terms) == 1 and quotient.terms[0][1] == 1:
            other = quotient.terms[0][0]
            if whole.get(other) == c * atom.den:
                rest: list[tuple[Atom, Coef]] = [(a, k) for a, k in whole.items() if a != atom and a != other]
                scaled = mul(atom.num, c)
                assert isinstance(scaled.const, int)
                return scaled.const, rest + list(scaled.terms)
    return None


def _plain(a: Index) -> Index:
    """With an integer `const`."""
    if isinstance(a.const, int):
        return a
    return _sum(0, [*a.terms, (a.const, 1)])


def add(a: Index, b: Index) -> Index:
    """a + b."""
    ac, bc = a.const, b.const
    if not isinstance(ac, int):
        a = _plain(a)
        ac = 0
    if not isinstance(bc, int):
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


def mul(a: Index, k: int | Param) -> Index:
    """a * k. A product of two parameters has no Index: TypeError."""
    a = _plain(a)
    assert isinstance(a.const, int)
    if isinstance(k, int):
        if k == 1:
            return a
        if k == 0:
            return const(0)
        terms: list[tuple[Atom, Coef]] = []
        for atom, c in a.terms:
            if isinstance(c, int):
                terms.append((atom, c * k))
            else:
                raise TypeError(f"index: a term with parameter {c.name} as its coefficient can't be scaled by {k}")
        return Index(a.const * k, tuple(terms))
    terms = [(k, a.const)] if a.const else []
    for atom, c in a.terms:
        if c != 1:
            raise TypeError(f"index: a term with coefficient {c} can't be scaled by parameter {k.name}")
        terms.append((atom, k))
    return _sum(0, terms)


def bounds(a: Index, ranges: Ranges = _NO_RANGES) -> tuple[float, float]:
    """Smallest and largest value that `a` may take, as ints, or -inf/inf where nothing is known."""
    if not isinstance(a.const, int):
        return -inf, inf
    lo: float = a.const
    hi: float = a.const
    for atom, c in a.terms:
        alo, ahi = _atom_bounds(atom, ranges)
        if not isinstance(c, int):
            return -inf, inf
        if c > 0:
            lo += alo * c
            hi += ahi * c
        else:
            lo += ahi * c
            hi += alo * c
    return lo, hi


def _atom_bounds(atom: Atom, ranges: Ranges) -> tuple[float, float]:
    if isinstance(atom, Var):
        extent = ranges.get(atom.name)
        return (0, inf) if extent is None else (0, max(extent - 1, 0))
    if isinstance(atom, Div):
        hi = bounds(atom.num, ranges)[1]
        return 0, hi if hi == inf else max(hi, 0) // atom.den
    if isinstance(atom, Mod):
        hi = bounds(atom.num, ranges)[1]
        return 0, min(max(hi, 0), atom.den - 1)
    return -inf, inf


def _split(a: Index, d: int, ranges: Ranges) -> tuple[Index, Index] | None:
    """a = d * q + r with r >= 0 known; None where no such split is known."""
    assert isinstance(a.const, int)
    q: list[tuple[Atom, Coef]] = []
    r: list[tuple[Atom, Coef]] = []
    for atom, c in a.terms:
        if isinstance(c, int) and c % d == 0:
            q.append((atom, c // d))
        else:
            r.append((atom, c))
    rest = Index(a.const % d, tuple(r))
    if r and bounds(rest, ranges)[0] < 0:
        return None
    return _sum(a.const // d, q), rest


def _common(a: Index, d: int) -> int:
    """The greatest divisor of d and of every coefficient."""
    g = d
    for _, c in a.terms:
        if not isinstance(c, int):
            return 1
        g = gcd(g, c)
    return g


def div(a: Index, d: int, ranges: Ranges = _NO_RANGES) -> Index:
    """floor(a / d), for a >= 0 and d > 0."""
    a = _plain(a)
    if d == 1:
        return a
    if not a.terms:
        return const(a.const // d)  # type: ignore[operator]
    parts = _split(a, d, ranges)
    if parts is None:
        return Index(0, ((Div(a, d), 1),))
    q, r = parts
    if bounds(r, ranges)[1] < d:
        return q
    g = _common(r, d)
    if g > 1:
        r = Index(r.const // g, tuple((t, c // g) for t, c in r.terms))  # type: ignore[operator]
        d //= g
        return add(q, div(r, d, ranges))
    if len(r.terms) == 1 and r.const == 0 and r.terms[0][1] == 1 and isinstance(r.terms[0][0], Div):
        inner = r.terms[0][0]
        return add(q, div(inner.num, inner.den * d, ranges))
    return add(q, Index(0, ((Div(r, d), 1),)))


def mod(a: Index, d: int, ranges: Ranges = _NO_RANGES) -> Index:
    """a mod d, for a >= 0 and d > 0."""
    a = _plain(a)
    if d == 1:
        return const(0)
    if not a.terms:
        return const(a.const % d)  # type: ignore[operator]
    parts = _split(a, d, ranges)
    if parts is None:
        return Index(0, ((Mod(a, d), 1),))
    r = parts[1]
    if bounds(r, ranges)[1] < d:
        return r
    g = _common(r, d)
    if g > 1:
        low = r.const % g  # type: ignore[operator]
        r = Index(r.const // g, tuple((t, c // g) for t, c in r.terms))  # type: ignore[operator]
        return add(mul(mod(r, d // g, ranges), g), const(low))
    if len(r.terms) == 1 and r.const == 0 and r.terms[0][1] == 1:
        inner = r.terms[0][0]
        if isinstance(inner, Mod) and inner.den % d == 0:
            return mod(inner.num, d, ranges)
    return Index(0, ((Mod(r, d), 1),))


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
    total = a.const if isinstance(a.const, int) else values[a.const.name]
    for atom, c in a.terms:
        if isinstance(atom, Div):
            v = evaluate(atom.num, values) // atom.den
        elif isinstance(atom, Mod):
            v = evaluate(atom.num, values) % atom.den
        else:
            v = values[atom.name]
        total += v * (c if isinstance(c, int) else values[c.name])
    return total
